// SPDX-License-Identifier: Apache-2.0
// A codec under a fuzzer: one end is ours, over a socket pair, the other is the input's bytes. The
// input's own bytes also decide how they are cut and what our owner does, so that every finding can
// be played again.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/base/check.h"
#include "lib/http/connection.h"

namespace meltemi::http::testing {

// Reads and answers as `choice` says; checks what holds for any peer.
class FuzzStream final : public StreamCallbacks {
 public:
  FuzzStream(uint8_t choice, ServerStream* server) : server_(server), choice_(choice) {}
  void SetStream(Stream* stream) { stream_ = stream; }

  void OnHead(bool end_stream) override {
    MELTEMI_CHECK(!is_over_ && !has_head_);
    has_head_ = true;
    if (server_ == nullptr) {
      CheckFields(static_cast<ClientStream*>(stream_)->response().headers);
      return;
    }
    const RequestHead& head = server_->request();
    CheckText(head.method);
    CheckText(head.path);
    CheckText(head.authority);
    CheckFields(head.headers);
    if ((choice_ & 1) != 0) Answer();
    if (end_stream && (choice_ & 1) == 0) Answer();
  }
  void OnInformational(const ResponseHead& head) override { CheckFields(head.headers); }
  void OnBody() override {
    MELTEMI_CHECK(!is_over_ && has_head_);
    const size_t size = stream_->PeekBody().size();
    stream_->ConsumeBody((choice_ & 2) != 0 ? size : (size + 1) / 2);
    if (!stream_->body_ended()) return;
    if (const HeaderMap* trailers = stream_->trailers()) CheckFields(*trailers);
    if (server_ != nullptr) Answer();
  }
  void OnReset(ResetReason) override {
    MELTEMI_CHECK(!is_over_);
    is_over_ = true;
  }
  void OnFinished() override {
    MELTEMI_CHECK(!is_over_ && has_head_);
    is_over_ = true;
  }
  void GiveUp() {
    if (is_over_) return;
    is_over_ = true;
    stream_->Reset(ResetReason::kLocal);
  }
  bool is_over() const { return is_over_; }

 private:
  static void CheckText(std::string_view text) {
    for (const char c : text) MELTEMI_CHECK(c != '\r' && c != '\n' && c != '\0');
  }
  static void CheckFields(const HeaderMap& map) {
    for (const HeaderField& field : map.fields()) {
      MELTEMI_CHECK(!field.name.empty() && field.name.front() != ':');
      CheckText(field.name);
      CheckText(field.value);
      MELTEMI_CHECK(field.id == LookUpHeader(field.name));
    }
  }
  void Answer() {
    if (is_answered_ || is_over_) return;
    is_answered_ = true;
    ResponseHead head(server_->arena());
    head.status = (choice_ & 4) != 0 ? 200 : (choice_ & 8) != 0 ? 204 : 101;
    head.content_length = (choice_ & 16) != 0 ? 5 : kLengthUnknown;
    const bool ends = (choice_ & 8) != 0;
    server_->SendResponse(head, ends);
    if (!ends) server_->SendBody("hello", true);
  }

  ServerStream* const server_;
  Stream* stream_ = nullptr;
  const uint8_t choice_;
  bool has_head_ = false, is_answered_ = false, is_over_ = false;
};

class FuzzPeer final : private ServerConnectionCallbacks, private ClientConnectionCallbacks {
 public:
  explicit FuzzPeer(uint8_t choice) : choice_(choice) {
    int fds[2];
    MELTEMI_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    ours_ = Fd(fds[0]);
    theirs_ = Fd(fds[1]);
  }
  ~FuzzPeer() {
    server_.reset();
    client_.reset();
    Turn(2);
  }

  void StartServer(Protocol protocol) {
    server_ = NewServerConnection(protocol, Wrap(), *this, limits());
  }
  void StartClient(Protocol protocol, int requests) {
    client_ = NewClientConnection(protocol, Wrap(), *this, limits());
    // With HTTP/1 there is one at a time, of a kind that the input chooses.
    if (protocol != Protocol::kHttp2) {
      Request(choice_ >> 2 & 3);
    } else {
      for (int i = 0; i < requests && client_->can_open(); ++i) Request(i);
    }
    Turn(1);
  }
  // Gives the bytes in pieces, runs the loop between them.
  void Receive(std::string_view bytes) {
    const size_t piece = (choice_ & 32) != 0 ? bytes.size() / 3 + 1 : bytes.size();
    while (!bytes.empty() && !is_closed_) {
      const std::string_view now = bytes.substr(0, piece);
      if (write(theirs_.get(), now.data(), now.size()) <= 0) break;
      bytes.remove_prefix(now.size());
      Turn(2);
      Drop();
    }
  }
  void End() {
    if ((choice_ & 64) != 0) {
      for (const auto& stream : streams_) {
        if (!is_closed_) stream->GiveUp();
      }
      Turn(1);
    }
    theirs_.Reset();
    Turn(3);
    // With the peer gone nothing may be left open.
    if (server_ != nullptr && !is_closed_) server_->Close();
    if (client_ != nullptr && !is_closed_) client_->Close();
    Turn(2);
    for (const auto& stream : streams_) MELTEMI_CHECK(stream->is_over());
  }

 private:
  static runtime::Loop& loop() {
    static const std::unique_ptr<runtime::Loop> loop = *runtime::Loop::Create();
    return *loop;
  }
  static net::BlockPool& pool() {
    static net::BlockPool pool;
    return pool;
  }
  Limits limits() const {
    Limits limits;
    limits.http1.has_trailers = (choice_ & 1) != 0;
    limits.http1.header_case = (choice_ & 2) != 0 ? HeaderCase::kAsReceived : HeaderCase::kLower;
    return limits;
  }
  std::unique_ptr<net::Connection> Wrap() {
    return std::make_unique<net::Connection>(loop(), pool(), std::move(ours_), nullptr);
  }
  static void Turn(int times) {
    for (int i = 0; i < times; ++i) loop().RunOnce(Duration(0));
  }
  void Drop() {
    char bytes[65536];
    while (read(theirs_.get(), bytes, sizeof bytes) > 0) {
    }
  }
  void Request(int number) {
    streams_.push_back(std::make_unique<FuzzStream>(choice_, nullptr));
    FuzzStream& callbacks = *streams_.back();
    ClientStream& stream = client_->OpenStream(callbacks);
    callbacks.SetStream(&stream);
    RequestHead head(stream.arena());
    head.method = number == 1 ? "HEAD" : number == 2 ? "CONNECT" : "POST";
    head.scheme = "http";
    head.authority = "a:80";
    head.path = "/";
    if (number == 3) head.upgrade = "websocket";
    head.content_length = number == 0 ? 3 : kLengthUnknown;
    stream.SendRequest(head, number == 1);
    if (number == 0) stream.SendBody("abc", true);
  }

  void OnStream(ServerStream& stream) override {
    streams_.push_back(std::make_unique<FuzzStream>(choice_, &stream));
    streams_.back()->SetStream(&stream);
    stream.SetCallbacks(streams_.back().get());
  }
  void OnConnectionClosed() override { is_closed_ = true; }
  void OnConnectionClosed(net::CloseReason) override { is_closed_ = true; }

  const uint8_t choice_;
  Fd ours_, theirs_;
  std::vector<std::unique_ptr<FuzzStream>> streams_;
  std::unique_ptr<ServerConnection> server_;
  std::unique_ptr<ClientConnection> client_;
  bool is_closed_ = false;
};

}  // namespace meltemi::http::testing
