// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/http_connection.h"

#include <algorithm>
#include <utility>

#include "proxy/http/client_cert.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/local_reply_mapping.h"
#include "proxy/http/mirror.h"
#include "proxy/http/scoped_routes.h"
#include "proxy/http/stream_values.h"

namespace meltemi::proxy {
namespace {

// What the listener learned may settle the protocol without looking at a byte.
std::optional<http::Protocol> KnownProtocol(HttpOptions::Codec codec, std::string_view detected) {
  if (codec == HttpOptions::Codec::kHttp2) return http::Protocol::kHttp2;
  if (codec == HttpOptions::Codec::kHttp1) return http::Protocol::kHttp11;
  if (detected == "h2" || detected == "h2c" || detected == "istio-h2")
    return http::Protocol::kHttp2;
  if (detected == "http/1.1" || detected == "http/1.0" || detected == "istio-http/1.1" ||
      detected == "istio-http/1.0") {
    return http::Protocol::kHttp11;
  }
  return std::nullopt;
}

// Envoy's texts.
std::string_view RefusalText(int status, std::string_view detail) {
  switch (status) {
    case 408:
      return "request header timeout";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    default:
      return detail == "missing_host_header" ? "" : "Bad Request";
  }
}

}  // namespace

HttpConnection::HttpConnection(Worker& worker, const HttpOptions& options, HttpStats& stats,
                               AcceptedConnection accepted)
    : worker_(worker),
      options_(options),
      stats_(stats),
      connection_(std::move(accepted.connection)),
      transport_(connection_.get()),
      idle_timer_(worker.loop(), [this] {
        stats_.Count(HttpStat::kConnectionsIdle);
        OnIdle();
      }) {
  bypasses_overload_ = accepted.bypasses_overload;
  stats_.Count(HttpStat::kConnections);
  stats_.Count(HttpStat::kConnectionsActive);
  if (accepted.is_tls) {
    stats_.Count(HttpStat::kConnectionsTls);
    stats_.Count(HttpStat::kConnectionsTlsActive);
  }
  facts_.id = worker.random().Next();
  facts_.direction = accepted.direction;
  facts_.is_tls = accepted.is_tls;
  LearnAddresses(accepted);
  if (options.connection_duration_max > Duration(0)) {
    duration_timer_ = std::make_unique<runtime::Timer>(worker.loop(), [this] {
      stats_.Count(HttpStat::kConnectionsMaxDuration);
      if (server_ != nullptr) return Drain();
      connection_->Close();  // it has not said a word
      End();
    });
    duration_timer_->Arm(Scaled(ScaledTimer::kConnectionMax, options.connection_duration_max));
  }
  const auto protocol = KnownProtocol(options.codec, accepted.application_protocol);
  if (protocol.has_value()) {
    Begin(*protocol);
  } else {
    ArmIdleTimer();
    connection_->SetCallbacks(this);
  }
}

HttpConnection::~HttpConnection() {
  is_over_ = true;
  stats_.Count(HttpStat::kConnectionsDestroyed);
  stats_.Uncount(HttpStat::kConnectionsActive);
  if (facts_.is_tls) stats_.Uncount(HttpStat::kConnectionsTlsActive);
  stats_.Count(HttpStat::kReceivedBytes, transport_->bytes_received());
  stats_.Count(HttpStat::kSentBytes, transport_->bytes_sent());
  if (server_ != nullptr) {
    const bool is_http2 = server_->protocol() == http::Protocol::kHttp2;
    stats_.Uncount(is_http2 ? HttpStat::kConnectionsHttp2Active
                            : HttpStat::kConnectionsHttp1Active);
  }
  for (auto& exchange : active_) exchange->Abort();
  mirrors_.clear();
}

void HttpConnection::LearnAddresses(AcceptedConnection& accepted) {
  facts_.remote = accepted.remote;
  facts_.local = accepted.original_destination;
  facts_.filter_chain_name = accepted.filter_chain_name;
  if (accepted.proxy_header != nullptr) {
    facts_.proxied.reset(new DownstreamFacts::Proxied{.direct_remote = accepted.direct_remote,
                                                      .header = std::move(accepted.proxy_header)});
  }
  if (!accepted.server_name.empty()) {
    facts_.tls = std::make_unique<TlsFacts>();
    facts_.tls->server_name = std::move(accepted.server_name);
  }
}

void HttpConnection::OnIdle() {
  if (server_ != nullptr) return server_->Drain();
  connection_->Close();
  End();
}

void HttpConnection::OnInput() {
  switch (http::DetectProtocol(connection_->input().view())) {
    case http::Detected::kNeedMore:
      if (!connection_->input_ended()) return;
      connection_->Close();
      return End();
    case http::Detected::kHttp2:
      return Begin(http::Protocol::kHttp2);
    case http::Detected::kHttp10:
    case http::Detected::kHttp11:
    case http::Detected::kNotHttp:  // the codec answers 400, as Envoy's does
      return Begin(http::Protocol::kHttp11);
  }
}

void HttpConnection::OnClosed(net::CloseReason) {
  End();
}

void HttpConnection::Begin(http::Protocol protocol) {
  server_ = http::NewServerConnection(protocol, std::move(connection_), *this, options_.limits,
                                      &worker_.http().codec_spares());
  const bool is_http2 = protocol == http::Protocol::kHttp2;
  stats_.Count(is_http2 ? HttpStat::kConnectionsHttp2 : HttpStat::kConnectionsHttp1);
  stats_.Count(is_http2 ? HttpStat::kConnectionsHttp2Active : HttpStat::kConnectionsHttp1Active);
  ArmIdleTimer();
  if (is_draining_) server_->Drain();
}

// The handshake is done by the time of the first request.
void HttpConnection::LearnTls(const net::Connection& connection) {
  const net::TlsPeer* peer = connection.tls_peer();
  if (peer == nullptr) return;
  if (facts_.tls == nullptr) facts_.tls = std::make_unique<TlsFacts>();
  TlsFacts& tls = *facts_.tls;
  tls.peer = peer;
  tls.local_uri_san = peer->own_uri_san;
  if (tls.server_name.empty()) tls.server_name = peer->server_name;
  facts_.is_mutual_tls = peer->is_verified;
  // A certificate without a SPIFFE id: both ends of mutual TLS in a mesh belong to one trust
  // domain, or the peer's alias of it.
  constexpr std::string_view kScheme = "spiffe://";
  if (tls.local_uri_san.empty() && peer->uri_san.starts_with(kScheme) &&
      !options_.identity_path.empty()) {
    const size_t end = std::min(peer->uri_san.find('/', kScheme.size()), peer->uri_san.size());
    tls.derived_uri_san = std::string(peer->uri_san.substr(0, end)) + options_.identity_path;
    tls.local_uri_san = tls.derived_uri_san;
  }
  if (facts_.is_mutual_tls) tls.client_cert_element = ClientCertElement(options_, tls);
}

void HttpConnection::ArmIdleTimer() {
  if (options_.idle_timeout > Duration(0)) {
    idle_timer_.Arm(Scaled(ScaledTimer::kConnectionIdle, options_.idle_timeout));
  }
}

bool HttpConnection::ShedsRequest() {
  if (!is_pressed()) return false;
  const OverloadLevels& overload = worker_.overload();
  const bool is_shed = overload.Chooses(OverloadLever::kStopAcceptingRequests, worker_.random()) ||
                       overload.Chooses(OverloadLever::kHttpDecodeHeaders, worker_.random());
  if (is_shed) stats_.Count(HttpStat::kRequestsOverload);
  return is_shed;
}

void HttpConnection::DrainIfPressed() {
  if (is_draining_ || !is_pressed()) return;
  const OverloadLevels& overload = worker_.overload();
  if (overload.Chooses(OverloadLever::kDisableHttpKeepalive, worker_.random())) {
    stats_.Count(HttpStat::kConnectionsNoKeepalive);
    return Drain();
  }
  // Envoy's point of HTTP/2 ends connections of HTTP/1 too.
  if (overload.Chooses(OverloadLever::kHttp2GoAway, worker_.random())) Drain();
}

void HttpConnection::OnOverload() {
  const auto shorten = [&](runtime::Timer& timer, ScaledTimer which, Duration full) {
    const Duration scaled = Scaled(which, full);
    if (timer.is_armed() && timer.deadline() > worker_.loop().Now() + scaled) timer.Arm(scaled);
  };
  shorten(idle_timer_, ScaledTimer::kConnectionIdle, options_.idle_timeout);
  if (duration_timer_ != nullptr) {
    shorten(*duration_timer_, ScaledTimer::kConnectionMax, options_.connection_duration_max);
  }
  for (const auto& exchange : active_) exchange->OnOverload();
  if (active_.empty() && is_pressed() &&
      worker_.overload().Chooses(OverloadLever::kCloseIdleHttpConnections, worker_.random())) {
    OnIdle();
  }
}

void HttpConnection::OnStream(http::ServerStream& stream) {
  const bool knows_tls = facts_.tls != nullptr && facts_.tls->peer != nullptr;
  if (facts_.is_tls && !knows_tls) LearnTls(*transport_);
  idle_timer_.Disarm();
  if (++requests_ == options_.requests_max) {
    stats_.Count(HttpStat::kConnectionsMaxRequests);
    Drain();
  }
  DrainIfPressed();
  active_.push_back(worker_.http().TakeExchange());
  active_.back()->Begin(*this, stream);
}

void HttpConnection::FillRefusalInfo(StreamInfo& info, std::string_view detail) {
  info.worker = &worker_;
  info.downstream = &facts_;
  info.pin = pin();
  info.start = info.end = worker_.loop().Now();
  info.start_wall = worker_.clock().Wall();
  info.status = refusal_status_;
  info.details = detail;
  info.is_local = true;
  // A client that is slow has broken no rule.
  if (refusal_status_ != 408) info.flags.Set(ResponseFlag::kDownstreamProtocolError);
}

std::string_view HttpConnection::FillRefusal(http::ResponseHead& head, std::string_view detail) {
  refusal_status_ = head.status;
  Arena& arena = head.headers.arena();
  http::RequestHead request(arena);
  StreamInfo info;
  FillRefusalInfo(info, detail);
  info.request = &request;
  info.arena = &arena;
  LocalReplyMapping::Reply reply{head.status, RefusalText(head.status, detail), {}, nullptr};
  if (options_.local_replies != nullptr) {
    reply = options_.local_replies->Map(info, reply.status, reply.body);
  }
  FillLocalReply(request, reply.status, reply.body, -1, reply.content_type, head);
  head.headers.Add(http::HeaderId::kServer, options_.server_name);
  head.headers.Add(http::HeaderId::kDate, date().At(info.start_wall));
  if (reply.headers != nullptr) {
    const StreamValues values(info);
    reply.headers->Apply(head, {&request, &head, &values});
  }
  return arena.Copy(reply.body);
}

// There was no request to speak of, but somebody will look for the reason of the 400 in the log.
void HttpConnection::OnProtocolError(std::string_view detail) {
  stats_.Count(refusal_status_ == 408 ? HttpStat::kRequestsHeadTooSlow
                                      : HttpStat::kConnectionsProtocolError);
  if (options_.access_logs.empty()) return;
  Arena arena;
  http::RequestHead head(arena);
  StreamInfo info;
  FillRefusalInfo(info, detail);
  info.request = &head;
  info.arena = &arena;
  for (const auto& log : options_.access_logs) log->Write(info);
}

void HttpConnection::OnExchangeOver(Exchange& exchange) {
  if (is_over_) return;  // the list is being walked
  const auto at = std::find_if(active_.begin(), active_.end(),
                               [&](const auto& one) { return one.get() == &exchange; });
  if (at == active_.end()) return;
  std::unique_ptr<Exchange> ended = std::move(*at);
  *at = std::move(active_.back());
  active_.pop_back();
  worker_.http().GiveExchange(std::move(ended));
  if (active_.empty()) ArmIdleTimer();
}

void HttpConnection::EndWithResponse() {
  if (server_->protocol() != http::Protocol::kHttp2) server_->Drain();
}

std::shared_ptr<const RoutePin> HttpConnection::PinFor(const http::RequestHead& head) {
  auto pin = std::make_shared<RoutePin>();
  pin->snapshot = worker_.snapshot();
  const ScopedRoutes::Scope* const scope = options_.scopes->Find(head);
  if (scope == nullptr) return pin;
  pin->routes = scope->routes;
  if (pin->routes == nullptr && scope->rds < pin->snapshot->routes.size()) {
    pin->routes = std::static_pointer_cast<const HttpRoutes>(pin->snapshot->routes[scope->rds]);
  }
  return pin;
}

std::shared_ptr<MirrorStream> HttpConnection::StartMirror(const StreamInfo& info,
                                                          const routing::Mirror& mirror,
                                                          bool end_stream) {
  if (mirrors_.size() >= kMirrorsMax) return nullptr;
  auto stream = std::make_shared<MirrorStream>(worker_, [this](MirrorStream& over) {
    const auto at = std::find_if(mirrors_.begin(), mirrors_.end(),
                                 [&](const auto& one) { return one.get() == &over; });
    if (at == mirrors_.end()) return;
    worker_.loop().DeferDelete(std::move(*at));
    mirrors_.erase(at);
  });
  mirrors_.push_back(stream);
  stream->Start(info, mirror, end_stream);
  return stream->is_over() ? nullptr : stream;
}

void HttpConnection::OnConnectionClosed() {
  if (!active_.empty()) stats_.Count(HttpStat::kConnectionsDestroyedActive);
  // Streams that the codec has not ended itself are gone all the same.
  while (!active_.empty()) {
    Exchange* const last = active_.back().get();
    last->Abort();
    if (!active_.empty() && active_.back().get() == last) {
      worker_.loop().DeferDelete(std::shared_ptr<void>(std::move(active_.back())));
      active_.pop_back();
    }
  }
  End();
}

void HttpConnection::Drain() {
  is_draining_ = true;
  if (server_ != nullptr) server_->Drain();
}

void HttpConnection::End() {
  if (std::exchange(is_over_, true)) return;
  idle_timer_.Disarm();
  if (duration_timer_ != nullptr) duration_timer_->Disarm();
  worker_.End(*this);
}

}  // namespace meltemi::proxy
