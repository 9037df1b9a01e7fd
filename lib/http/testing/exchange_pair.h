// SPDX-License-Identifier: Apache-2.0
// Two ends of one connection on one loop, for tests: our server and our client, or one of them and
// a bare socket that the test reads and writes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/http/connection.h"

namespace meltemi::http::testing {

// Gathers what a stream receives. Reads at once unless `is_slow`.
class Receiver : public StreamCallbacks {
 public:
  virtual ~Receiver() = default;
  void OnHead(bool end_stream) override {
    has_head = true;
    head_ended = end_stream;
    ended = ended || end_stream;
    if (on_head) on_head();
  }
  void OnInformational(const ResponseHead& head) override {
    informational.push_back(head.status);
    for (const HeaderField& f : head.headers.fields()) {
      informational_headers.emplace_back(f.name, f.value);
    }
  }
  void OnBody() override {
    ++bodies;
    if (!is_slow) Read();
  }
  void OnWritable() override {
    if (on_writable) on_writable();
  }
  void OnReset(ResetReason reason) override { reset = reason; }
  void OnFinished() override {
    finished = true;
    if (on_finished) on_finished();
  }

  void Read(size_t bytes_max = SIZE_MAX) {
    const std::string_view view = stream->PeekBody().substr(0, bytes_max);
    peeked_max = std::max(peeked_max, stream->PeekBody().size());
    body.append(view);
    const bool all = view.size() == stream->PeekBody().size();
    const bool ends = stream->body_ended() && all;
    if (ends && stream->trailers() != nullptr) {
      for (const HeaderField& f : stream->trailers()->fields())
        trailers.emplace_back(f.name, f.value);
    }
    stream->ConsumeBody(view.size());
    if (ends && !ended) {
      ended = true;
      if (on_end) on_end();
    }
  }

  Stream* stream = nullptr;
  bool has_head = false, head_ended = false, ended = false, finished = false, is_slow = false;
  int bodies = 0;
  size_t peeked_max = 0;
  std::string body;
  std::vector<int> informational;
  std::vector<std::pair<std::string, std::string>> informational_headers;
  std::vector<std::pair<std::string, std::string>> trailers;
  std::optional<ResetReason> reset;
  std::function<void()> on_head, on_end, on_writable, on_finished;
};

struct ServerExchange : Receiver {
  ServerStream* server = nullptr;
  std::string method, path, authority, scheme, upgrade;
  std::vector<std::pair<std::string, std::string>> headers;
  int64_t content_length = 0;

  // Sends a whole body, waiting for room as needed.
  void Respond(int status, std::string text, bool is_length_known = true) {
    ResponseHead head(server->arena());
    head.status = status;
    if (is_length_known) head.content_length = static_cast<int64_t>(text.size());
    server->SendResponse(head, text.empty());
    if (text.empty()) return;
    rest_ = std::move(text);
    on_writable = [this] {
      const size_t taken = server->SendBody(std::string_view(rest_).substr(sent_), true);
      sent_ += taken;
    };
    on_writable();
  }

 private:
  std::string rest_;
  size_t sent_ = 0;
};

class ServerOwner final : public ServerConnectionCallbacks {
 public:
  void OnStream(ServerStream& stream) override {
    auto exchange = std::make_unique<ServerExchange>();
    ServerExchange* e = exchange.get();
    exchanges.push_back(std::move(exchange));
    e->stream = e->server = &stream;
    e->is_slow = is_slow;
    const RequestHead& head = stream.request();
    e->method = head.method;
    e->path = head.path;
    e->authority = head.authority;
    e->scheme = head.scheme;
    e->upgrade = head.upgrade;
    e->content_length = head.content_length;
    for (const HeaderField& f : head.headers.fields()) e->headers.emplace_back(f.name, f.value);
    stream.SetCallbacks(e);
    if (on_request) e->on_head = [this, e] { on_request(*e); };
  }
  void OnProtocolError(std::string_view detail) override { error = detail; }
  void OnConnectionClosed() override { closed = true; }

  bool is_slow = false, closed = false;
  std::string error;
  std::vector<std::unique_ptr<ServerExchange>> exchanges;
  std::function<void(ServerExchange&)> on_request;
};

class ClientOwner final : public ClientConnectionCallbacks {
 public:
  void OnStreamsAvailable() override { ++available; }
  void OnGoAway() override { went_away = true; }
  void OnConnectionClosed(net::CloseReason reason) override { closed = reason; }
  int available = 0;
  bool went_away = false;
  std::optional<net::CloseReason> closed;
};

struct ClientExchange : Receiver {
  ClientStream* client = nullptr;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;

  void Open(ClientConnection& connection) {
    client = &connection.OpenStream(*this);
    stream = client;
    on_head = [this] {
      status = client->response().status;
      for (const HeaderField& f : client->response().headers.fields()) {
        headers.emplace_back(f.name, f.value);
      }
    };
  }
  void Request(std::string_view method, std::string_view path, std::string text = "",
               bool is_length_known = true) {
    RequestHead head(client->arena());
    head.method = method;
    head.scheme = "http";
    head.authority = "test.local";
    head.path = path;
    head.content_length = is_length_known ? static_cast<int64_t>(text.size()) : kLengthUnknown;
    client->SendRequest(head, text.empty());
    if (text.empty()) return;
    rest_ = std::move(text);
    on_writable = [this] {
      const size_t taken = client->SendBody(std::string_view(rest_).substr(sent_), true);
      sent_ += taken;
    };
    on_writable();
  }

  std::string rest_;
  size_t sent_ = 0;
};

class ExchangePair {
 public:
  ExchangePair() : loop(*runtime::Loop::Create()) {}

  void Make(Protocol protocol, const Limits& limits = {}) {
    auto [a, b] = Sockets();
    server = NewServerConnection(protocol, Wrap(std::move(a)), server_owner, limits);
    client = NewClientConnection(protocol, Wrap(std::move(b)), client_owner, limits);
  }
  void MakeServer(Protocol protocol, const Limits& limits = {}) {
    auto [a, b] = Sockets();
    server = NewServerConnection(protocol, Wrap(std::move(a)), server_owner, limits);
    peer = std::move(b);
  }
  void MakeClient(Protocol protocol, const Limits& limits = {}) {
    auto [a, b] = Sockets();
    client = NewClientConnection(protocol, Wrap(std::move(a)), client_owner, limits);
    peer = std::move(b);
  }

  void RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done() && std::chrono::steady_clock::now() < deadline) {
      loop->RunOnce(std::chrono::milliseconds(100));
      if (peer.valid()) ReadPeer();
    }
    EXPECT_TRUE(done());
  }
  // Lets everything happen that can without a new event.
  void Settle() {
    for (int i = 0; i < 20; ++i) loop->RunOnce(Duration(0));
    if (peer.valid()) ReadPeer();
  }
  void Write(std::string_view text) {
    ASSERT_EQ(static_cast<ssize_t>(text.size()), write(peer.get(), text.data(), text.size()));
  }
  void ReadPeer() {
    char bytes[65536];
    ssize_t count;
    while ((count = read(peer.get(), bytes, sizeof bytes)) > 0) received.append(bytes, count);
    if (count == 0) peer_ended = true;
  }

  std::unique_ptr<runtime::Loop> loop;
  net::BlockPool pool;
  ServerOwner server_owner;
  ClientOwner client_owner;
  std::unique_ptr<ServerConnection> server;
  std::unique_ptr<ClientConnection> client;
  Fd peer;
  std::string received;
  bool peer_ended = false;

 private:
  static std::pair<Fd, Fd> Sockets() {
    int fds[2];
    EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    return {Fd(fds[0]), Fd(fds[1])};
  }
  std::unique_ptr<net::Connection> Wrap(Fd socket) {
    return std::make_unique<net::Connection>(*loop, pool, std::move(socket), nullptr);
  }
};

}  // namespace meltemi::http::testing
