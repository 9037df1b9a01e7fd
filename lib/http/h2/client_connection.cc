// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/client_connection.h"

#include <algorithm>
#include <charconv>

#include "lib/base/check.h"
#include "lib/http/h2/session.h"
#include "lib/http/reset_reason.h"

namespace meltemi::http::h2 {
namespace {

class ClientSide final : public StreamOver<ClientStream> {
 public:
  explicit ClientSide(Session& session) : StreamOver(session), response_(arena_) {}
  void SendRequest(const RequestHead& head, bool end_stream) override;
  ResponseHead& response() override { return response_; }
  void Attach(StreamCallbacks& callbacks) { callbacks_ = &callbacks; }
  // Whether the server may have begun to answer.
  bool has_begun() const { return has_head_; }

 private:
  HeaderMap& fields() override { return response_.headers; }
  int64_t& content_length() override { return response_.content_length; }
  void TakePseudo(Pseudo name, std::string_view value) override;
  bool CompleteHead() override;
  void Recycle() override;

  ResponseHead response_;
  bool is_upgrade_ = false;
};

void ClientSide::TakePseudo(Pseudo name, std::string_view value) {
  if (name != Pseudo::kStatus) return;
  std::from_chars(value.data(), value.data() + value.size(), response_.status);
}

bool ClientSide::CompleteHead() {
  response_.protocol = Protocol::kHttp2;
  // 101 does not exist in HTTP/2 (RFC 9113 §8.6).
  if (response_.status < 100 || response_.status == 101 || response_.status > 599) return false;
  if (response_.status < 200) {
    if (interim_.size() < kInterimAnswersMax) {
      interim_.push_back(std::make_unique<ResponseHead>(arena_));
      interim_.back()->status = response_.status;
      interim_.back()->protocol = Protocol::kHttp2;
      interim_.back()->headers.mutable_fields() = response_.headers.fields();
    }
    response_.headers.Clear();
    response_.content_length = kLengthUnknown;
    return !is_remote_done;
  }
  if (is_upgrade_ && response_.status / 100 == 2) response_.status = 101;
  if (is_remote_done && response_.content_length < 0) response_.content_length = 0;
  has_head_ = true;
  return true;
}

void ClientSide::Recycle() {
  response_.headers.Clear();
  response_.status = 0;
  response_.content_length = kLengthUnknown;
  is_upgrade_ = false;
  StreamOver::Recycle();
}

void ClientSide::SendRequest(const RequestHead& head, bool end_stream) {
  if (is_over_ || id > 0 || session_.is_gone()) return;
  session_.Schedule();
  Engine& engine = session_.engine();
  // Out of stream ids, or a GOAWAY came in between: nothing was sent, another connection may serve
  // it.
  if (!engine.Open(*this)) return session_.FailLater(*this, ErrorCode::kRefusedStream);
  session_.NoteOpened();
  is_upgrade_ = !head.upgrade.empty();
  is_connect = is_upgrade_ || head.method == "CONNECT";
  is_head_request = head.method == "HEAD";
  is_tunnel = is_connect;
  if (is_tunnel) end_stream = false;
  engine.BeginHead();
  const auto add = [&](std::string_view name, std::string_view value) {
    engine.AddField(HeaderId::kOther, name, value);
  };
  add(":method", is_upgrade_ ? "CONNECT" : head.method);
  if (!is_connect || is_upgrade_) {
    add(":scheme", head.scheme.empty() ? "http" : head.scheme);
    add(":path", head.path);
  }
  add(":authority", head.authority);
  if (is_upgrade_) add(":protocol", head.upgrade);
  engine.AddFields(head.headers);
  if (head.content_length >= 0 && !end_stream && !is_tunnel) {
    engine.AddNumber(HeaderId::kContentLength, "content-length", head.content_length);
  }
  engine.EndHead(*this, end_stream, false);
}

class ClientSession final : public http::ClientConnection, public Session {
 public:
  ClientSession(std::unique_ptr<net::Connection> connection, ClientConnectionCallbacks& callbacks,
                const Limits& limits)
      : Session(std::move(connection), limits, false), callbacks_(callbacks) {
    Begin();
  }
  Protocol protocol() const override { return Protocol::kHttp2; }
  bool can_open() const override {
    return !is_gone() && !is_draining_ && !peer_goes_away() && !is_ending() &&
           stream_count() < streams_max() && engine().can_open();
  }
  size_t active_streams() const override { return stream_count(); }
  ClientStream& OpenStream(StreamCallbacks& callbacks) override {
    MELTEMI_CHECK(!is_gone());
    auto& stream = static_cast<ClientSide&>(TakeStream());
    stream.Attach(callbacks);
    was_full_ = !can_open();
    return stream;
  }
  void Drain() override {
    if (std::exchange(is_draining_, true) || is_gone()) return;
    EndWhenIdle();
  }
  void Close() override { CloseNow(net::CloseReason::kLocal); }
  bool SendPing() override {
    if (is_gone()) return false;
    SubmitPing('k');
    return true;
  }
  net::Connection& connection() override { return net(); }

 private:
  size_t streams_max() const {
    // RFC 9113 §5.1.2: no limit until the peer names one; 100 until it spoke.
    const uint32_t theirs = has_settings() ? engine().peer_streams_max() : 100;
    return std::min(theirs, limits().streams_max);
  }
  void OnConnected() override { callbacks_.OnConnected(); }
  std::unique_ptr<StreamCore> MakeStream() override { return std::make_unique<ClientSide>(*this); }
  void OnHeadTooLarge(StreamCore&) override {}
  void OnPeerGoesAway() override { callbacks_.OnGoAway(); }
  void OnPingAnswered() override { callbacks_.OnPingAnswered(); }
  void AfterPass() override {
    if (!was_full_ || !can_open()) return;
    was_full_ = false;
    callbacks_.OnStreamsAvailable();
  }
  void ReportClosed(net::CloseReason reason) override { callbacks_.OnConnectionClosed(reason); }
  ResetReason ResetFor(const StreamCore& stream, net::CloseReason reason) const override {
    return http::ResetFor(reason, static_cast<const ClientSide&>(stream).has_begun()
                                      ? ResetReason::kRemoteReset
                                      : ResetReason::kConnectionClosed);
  }

  ClientConnectionCallbacks& callbacks_;
  bool is_draining_ = false;
  bool was_full_ = false;
};

}  // namespace

std::unique_ptr<ClientConnection> NewClientConnection(std::unique_ptr<net::Connection> connection,
                                                      ClientConnectionCallbacks& callbacks,
                                                      const Limits& limits) {
  return std::make_unique<ClientSession>(std::move(connection), callbacks, limits);
}

}  // namespace meltemi::http::h2
