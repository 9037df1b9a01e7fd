// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/client_connection.h"

#include <algorithm>
#include <charconv>

#include "lib/base/check.h"
#include "lib/http/h2/session.h"

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
  void TakePseudo(std::string_view name, std::string_view value) override;
  bool CompleteHead() override;
  void Recycle() override;

  ResponseHead response_;
  bool is_upgrade_ = false;
};

void ClientSide::TakePseudo(std::string_view name, std::string_view value) {
  if (name != "status") return;
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
    return !received_end_;
  }
  if (is_upgrade_ && response_.status / 100 == 2) response_.status = 101;
  if (received_end_ && response_.content_length < 0) response_.content_length = 0;
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
  if (is_over_ || id_ > 0 || session_.is_gone()) return;
  is_upgrade_ = !head.upgrade.empty();
  const bool is_connect = head.method == "CONNECT" && !is_upgrade_;
  is_tunnel_ = is_upgrade_ || is_connect;
  if (is_tunnel_) end_stream = false;
  char length_text[20];
  FieldList fields;
  fields.Add(":method", is_upgrade_ ? "CONNECT" : head.method);
  if (!is_connect) {
    fields.Add(":scheme", head.scheme.empty() ? "http" : head.scheme);
    fields.Add(":path", head.path);
  }
  fields.Add(":authority", head.authority);
  if (is_upgrade_) fields.Add(":protocol", head.upgrade);
  fields.AddAll(head.headers);
  if (head.content_length >= 0 && !end_stream && !is_tunnel_) {
    fields.AddNumber("content-length", head.content_length, length_text);
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = static_cast<StreamCore*>(this);
  provider.read_callback = &Session::ReadCallback;
  id_ = nghttp2_submit_request(session_.handle(), nullptr, fields.data(), fields.size(),
                               end_stream ? nullptr : &provider, static_cast<StreamCore*>(this));
  is_open_for_sending_ = !end_stream;
  send_ended_ = end_stream;
  session_.Schedule();
  if (id_ > 0) return session_.NoteOpened();
  // Out of stream ids, or a GOAWAY came in between: nothing was sent, another connection may serve
  // it.
  session_.FailLater(*this, NGHTTP2_REFUSED_STREAM);
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
           stream_count() < streams_max() && nghttp2_session_check_request_allowed(handle()) != 0;
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
    const uint32_t theirs = has_settings() ? nghttp2_session_get_remote_settings(
                                                 handle(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
                                           : 100;
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
    switch (reason) {
      case net::CloseReason::kConnectFailed:
        return ResetReason::kConnectFailed;
      case net::CloseReason::kConnectTimeout:
        return ResetReason::kConnectTimeout;
      case net::CloseReason::kTlsFailed:
        return ResetReason::kTlsFailed;
      case net::CloseReason::kLocal:
        return ResetReason::kLocal;
      default:
        break;
    }
    return static_cast<const ClientSide&>(stream).has_begun() ? ResetReason::kRemoteReset
                                                              : ResetReason::kConnectionClosed;
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
