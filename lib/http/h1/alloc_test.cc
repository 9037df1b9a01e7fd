// SPDX-License-Identifier: Apache-2.0
// An exchange through our client and our server touches the heap only while it warms up.
#include <gtest/gtest.h>
#include <sys/socket.h>

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

class Server final : public ServerConnectionCallbacks, public StreamCallbacks {
 public:
  void OnStream(ServerStream& stream) override {
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
  void OnReset(ResetReason) override {}
  void OnConnectionClosed() override {}

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

class Client final : public ClientConnectionCallbacks, public StreamCallbacks {
 public:
  void Ask(ClientConnection& connection, int64_t length) {
    stream_ = &connection.OpenStream(*this);
    request_.method = "POST";
    request_.authority = "a";
    request_.path = "/";
    request_.content_length = length;
    stream_->SendRequest(request_, false);
    stream_->SendBody("question", true);
  }
  void OnHead(bool) override {}
  void OnBody() override { stream_->ConsumeBody(stream_->PeekBody().size()); }
  void OnFinished() override { ++finished; }
  void OnReset(ResetReason) override { ADD_FAILURE(); }
  void OnConnectionClosed(net::CloseReason) override {}
  int finished = 0;

 private:
  Arena arena_;
  RequestHead request_{arena_};
  ClientStream* stream_ = nullptr;
};

TEST(H1Heap, IsLeftAloneAfterWarmUp) {
  const auto loop = *runtime::Loop::Create();
  net::BlockPool pool;
  int fds[2];
  ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  Server server_owner;
  Client client_owner;
  const auto wrap = [&](int fd) {
    return std::make_unique<net::Connection>(*loop, pool, Fd(fd), nullptr);
  };
  const auto server = NewServerConnection(Protocol::kHttp11, wrap(fds[0]), server_owner, {});
  const auto client = NewClientConnection(Protocol::kHttp11, wrap(fds[1]), client_owner, {});
  size_t before = 0;
  for (int i = 1; i <= 200; ++i) {
    if (i == 11) before = allocations;
    client_owner.Ask(*client, i % 2 == 0 ? 8 : kLengthUnknown);
    while (client_owner.finished < i) loop->RunOnce(std::chrono::seconds(1));
  }
  EXPECT_EQ(before, allocations);
}

}  // namespace
}  // namespace meltemi::http
