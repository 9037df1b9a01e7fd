// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/server_connection.h"

#include <algorithm>
#include <cstring>

#include "lib/http/h1/characters.h"
#include "lib/http/h2/session.h"

namespace meltemi::http::h2 {
namespace {

// Crumbs of a cookie become one field again (RFC 9113 §8.2.3): HTTP/1 and filters know only one.
void JoinCookies(HeaderMap& headers) {
  size_t count = 0;
  size_t bytes = 0;
  for (const HeaderField& field : headers.fields()) {
    if (field.id != HeaderId::kCookie) continue;
    ++count;
    bytes += field.value.size() + 2;
  }
  if (count < 2) return;
  char* const joined = headers.arena().Allocate(bytes);
  char* to = joined;
  for (const HeaderField& field : headers.fields()) {
    if (field.id != HeaderId::kCookie) continue;
    if (to != joined) {
      *to++ = ';';
      *to++ = ' ';
    }
    to = std::copy(field.value.begin(), field.value.end(), to);
  }
  headers.Remove(HeaderId::kCookie);
  headers.AddBorrowed(HeaderId::kCookie, HeaderName(HeaderId::kCookie),
                      {joined, static_cast<size_t>(to - joined)});
}

class ServerSide final : public StreamOver<ServerStream> {
 public:
  explicit ServerSide(Session& session) : StreamOver(session), request_(arena_) {}
  RequestHead& request() override { return request_; }
  void SendContinue() override;
  void SendInformational(const ResponseHead& head) override;
  void SendResponse(const ResponseHead& head, bool end_stream) override;

 private:
  HeaderMap& fields() override { return request_.headers; }
  int64_t& content_length() override { return request_.content_length; }
  void TakePseudo(Pseudo name, std::string_view value) override;
  bool CompleteHead() override;
  void Recycle() override;

  RequestHead request_;
  std::string_view host_;
  bool has_host_ = false;
  bool is_repeated_host_ = false;
  bool is_answered_ = false;
};

void ServerSide::TakePseudo(Pseudo name, std::string_view value) {
  switch (name) {
    case Pseudo::kMethod:
      request_.method = value;
      break;
    case Pseudo::kPath:
      request_.path = value;
      break;
    case Pseudo::kScheme:
      request_.scheme = value;
      break;
    case Pseudo::kAuthority:
      request_.authority = value;
      break;
    case Pseudo::kProtocol:
      request_.upgrade = value;
      break;
    default:
      is_repeated_host_ = has_host_;
      has_host_ = true;
      host_ = value;
  }
}

bool ServerSide::CompleteHead() {
  request_.protocol = Protocol::kHttp2;
  if (request_.authority.empty()) request_.authority = host_;
  // RFC 9113 §8.3.1: a Host that says something else is a request put together wrongly.
  if (is_repeated_host_ || (has_host_ && host_ != request_.authority)) return false;
  if (!h1::IsHost(request_.authority)) return false;
  if (!request_.upgrade.empty()) {
    if (!h1::IsToken(request_.upgrade)) return false;
    request_.method = "GET";  // an Upgrade, as HTTP/1 would say it
  }
  is_tunnel = !request_.upgrade.empty() || request_.method == "CONNECT";
  if (is_remote_done && request_.content_length < 0) request_.content_length = 0;
  if (const std::string_view* expect = request_.headers.Find(HeaderId::kExpect)) {
    request_.expects_continue = *expect == "100-continue";
  }
  JoinCookies(request_.headers);
  has_head_ = true;
  return true;
}

void ServerSide::Recycle() {
  request_.headers.Clear();
  request_.method = request_.scheme = request_.authority = request_.path = request_.upgrade = {};
  request_.content_length = kLengthUnknown;
  request_.expects_continue = false;
  host_ = {};
  has_host_ = is_repeated_host_ = is_answered_ = false;
  StreamOver::Recycle();
}

void ServerSide::SendContinue() {
  ResponseHead head(arena_);
  head.status = 100;
  SendInformational(head);
}

void ServerSide::SendInformational(const ResponseHead& head) {
  if (is_answered_ || is_over_ || is_closed_ || session_.is_gone()) return;
  Engine& engine = session_.engine();
  engine.BeginHead();
  engine.AddNumber(HeaderId::kOther, ":status", head.status);
  engine.AddFields(head.headers);
  engine.EndHead(*this, false, true);
  session_.Schedule();
}

void ServerSide::SendResponse(const ResponseHead& head, bool end_stream) {
  if (is_answered_ || is_over_ || is_closed_ || session_.is_gone()) return;
  is_answered_ = true;
  const bool is_bodiless = request_.method == "HEAD" || head.status == 304;
  // The answer to an Upgrade is 101 in HTTP/1 and 200 here (RFC 8441 §5).
  const int status = head.status == 101 ? 200 : head.status;
  if (is_tunnel && status / 100 != 2) is_tunnel = false;
  if (is_bodiless || status == 204) end_stream = true;
  Engine& engine = session_.engine();
  engine.BeginHead();
  engine.AddNumber(HeaderId::kOther, ":status", status);
  engine.AddFields(head.headers);
  const bool is_length_true = is_bodiless || !end_stream || head.content_length == 0;
  if (head.content_length >= 0 && is_length_true && status != 204 && !is_tunnel) {
    engine.AddNumber(HeaderId::kContentLength, "content-length", head.content_length);
  }
  engine.EndHead(*this, end_stream, false);
  session_.Schedule();
}

class ServerSession final : public http::ServerConnection, public Session {
 public:
  ServerSession(std::unique_ptr<net::Connection> connection, ServerConnectionCallbacks& callbacks,
                const Limits& limits)
      : Session(std::move(connection), limits, true), callbacks_(callbacks) {
    Begin();
  }
  Protocol protocol() const override { return Protocol::kHttp2; }
  size_t active_streams() const override { return stream_count(); }
  void Close() override { CloseNow(net::CloseReason::kLocal); }

  // Two steps (RFC 9113 §6.8): a notice, and the last stream's id once the peer's answer to a PING
  // shows that it has read the notice.
  void Drain() override {
    if (std::exchange(is_draining_, true) || is_gone()) return;
    engine().SendNotice();
    SubmitPing('d');
    notice_ = std::make_unique<runtime::Timer>(net().loop(), [this] { OnPingAnswered(); });
    notice_->Arm(limits().http2.drain_time);
  }

 private:
  std::unique_ptr<StreamCore> MakeStream() override { return std::make_unique<ServerSide>(*this); }
  bool Introduce(StreamCore& stream) override {
    callbacks_.OnStream(static_cast<ServerSide&>(stream));
    return true;
  }
  void OnHeadTooLarge(StreamCore& stream) override {
    ResponseHead head(static_cast<ServerSide&>(stream).arena());
    head.status = 431;
    static_cast<ServerSide&>(stream).SendResponse(head, true);
    callbacks_.OnProtocolError("request_headers_too_large");
  }
  void OnViolation(std::string_view detail) override { callbacks_.OnProtocolError(detail); }
  void OnPingAnswered() override {
    if (notice_ == nullptr || is_gone()) return;
    notice_.reset();
    engine().SendGoAway(ErrorCode::kNoError);
    EndWhenIdle();
  }
  void ReportClosed(net::CloseReason) override {
    notice_.reset();
    callbacks_.OnConnectionClosed();
  }
  ResetReason ResetFor(const StreamCore&, net::CloseReason reason) const override {
    return reason == net::CloseReason::kLocal ? ResetReason::kLocal : ResetReason::kRemoteReset;
  }

  ServerConnectionCallbacks& callbacks_;
  std::unique_ptr<runtime::Timer> notice_;
  bool is_draining_ = false;
};

}  // namespace

std::unique_ptr<ServerConnection> NewServerConnection(std::unique_ptr<net::Connection> connection,
                                                      ServerConnectionCallbacks& callbacks,
                                                      const Limits& limits) {
  return std::make_unique<ServerSession>(std::move(connection), callbacks, limits);
}

}  // namespace meltemi::http::h2
