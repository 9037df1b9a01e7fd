// SPDX-License-Identifier: Apache-2.0
// Exchanges through our client and our server, of either protocol, touch the heap only while they
// warm up.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <new>

#include "lib/http/connection.h"

namespace {

size_t allocations = 0;

}  // namespace

// Whole-program replacement: the counter is read by this file's test only.
void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace meltemi::http {
namespace {

class ServerExchange final : public StreamCallbacks {
 public:
  void Begin(ServerStream& stream) {
    stream_ = &stream;
    stream.SetCallbacks(this);
  }
  void OnHead(bool end_stream) override {
    if (end_stream) Answer();
  }
  void OnBody() override {
    stream_->ConsumeBody(stream_->PeekBody().size());
    if (stream_->body_ended()) Answer();
  }
  void OnReset(ResetReason) override { ADD_FAILURE(); }

 private:
  void Answer() {
    answer_.headers.Clear();
    answer_.status = 200;
    answer_.content_length = 5;
    answer_.headers.AddBorrowed(HeaderId::kContentType, "content-type", "text/plain");
    stream_->SendResponse(answer_, false);
    stream_->SendBody("hello", true);
  }
  Arena arena_;
  ResponseHead answer_{arena_};
  ServerStream* stream_ = nullptr;
};

constexpr size_t kStreams = 30;  // at once, with HTTP/2

class Server final : public ServerConnectionCallbacks {
 public:
  void OnStream(ServerStream& stream) override {
    exchanges_[next_].Begin(stream);
    next_ = (next_ + 1) % kStreams;
  }
  void OnConnectionClosed() override {}

 private:
  std::array<ServerExchange, kStreams> exchanges_;
  size_t next_ = 0;
};

class ClientExchange final : public StreamCallbacks {
 public:
  void Ask(ClientConnection& connection, int number) {
    stream_ = &connection.OpenStream(*this);
    request_.method = "POST";
    request_.authority = "a";
    request_.path = "/";
    request_.content_length = number % 2 == 0 ? 8 : kLengthUnknown;
    // One field that repeats and one that does not.
    const char id[] = {static_cast<char>('a' + number % 26), static_cast<char>('a' + number / 26)};
    request_.headers.Clear();
    request_.headers.AddBorrowed(HeaderId::kUserAgent, "user-agent", "test");
    request_.headers.AddBorrowed(HeaderId::kXRequestId, "x-request-id", {id, 2});
    stream_->SendRequest(request_, false);
    stream_->SendBody("question", true);
  }
  void OnHead(bool) override {}
  void OnBody() override { stream_->ConsumeBody(stream_->PeekBody().size()); }
  void OnFinished() override { is_finished = true; }
  void OnReset(ResetReason) override { ADD_FAILURE(); }
  bool is_finished = false;

 private:
  Arena arena_;
  RequestHead request_{arena_};
  ClientStream* stream_ = nullptr;
};

class Client final : public ClientConnectionCallbacks {
 public:
  void OnConnectionClosed(net::CloseReason) override {}
};

class Heap : public ::testing::TestWithParam<Protocol> {};

TEST_P(Heap, IsLeftAloneAfterWarmUp) {
  const auto loop = *runtime::Loop::Create();
  net::BlockPool pool;
  int fds[2];
  ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  Server server_owner;
  Client client_owner;
  const auto wrap = [&](int fd) {
    return std::make_unique<net::Connection>(*loop, pool, Fd(fd), nullptr);
  };
  const auto server = NewServerConnection(GetParam(), wrap(fds[0]), server_owner, {});
  const auto client = NewClientConnection(GetParam(), wrap(fds[1]), client_owner, {});
  const size_t at_once = GetParam() == Protocol::kHttp2 ? kStreams : 1;
  std::array<ClientExchange, kStreams> exchanges;
  size_t before = 0;
  for (int round = 0; round < 300; ++round) {
    if (round == 100) before = allocations;
    for (size_t i = 0; i < at_once; ++i) {
      exchanges[i].is_finished = false;
      exchanges[i].Ask(*client, round);
    }
    for (size_t i = 0; i < at_once; ++i) {
      while (!exchanges[i].is_finished) loop->RunOnce(std::chrono::seconds(1));
    }
  }
  EXPECT_EQ(before, allocations);
}
INSTANTIATE_TEST_SUITE_P(Either, Heap, ::testing::Values(Protocol::kHttp11, Protocol::kHttp2));

}  // namespace
}  // namespace meltemi::http
