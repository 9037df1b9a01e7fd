// SPDX-License-Identifier: Apache-2.0
// The client's side of an exchange: bodies, local replies, the end.
#include "proxy/http/exchange.h"

#include "proxy/http/local_reply.h"
#include "proxy/http/local_reply_mapping.h"
#include "proxy/http/mirror.h"
#include "proxy/http/request_ingest.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

Exchange::Exchange(Worker& worker)
    : worker_(worker),
      arena_(512),
      attempt_(*this),
      local_head_(arena_),
      replay_(worker_.blocks()),
      timeout_timer_(worker_.loop(), [this] { OnRouteTimeout(); }),
      per_try_timer_(worker_.loop(), [this] { OnPerTryTimeout(); }),
      try_idle_timer_(worker_.loop(), [this] { OnTryIdle(); }),
      idle_timer_(worker_.loop(), [this] { OnIdleTimeout(); }),
      duration_timer_(worker_.loop(), [this] { OnDurationTimeout(); }),
      pause_timer_(worker_.loop(), [this] { OnPauseOver(); }) {}

void Exchange::Begin(ExchangeOwner& owner, http::ServerStream& stream) {
  owner_ = &owner;
  options_ = &owner.options();
  stats_ = &owner.stats();
  down_ = &stream;
  stage_ = Stage::kFilters;
  const bool is_http2 = stream.request().protocol == http::Protocol::kHttp2;
  stats_->Count(HttpStat::kRequests);
  stats_->Count(is_http2 ? HttpStat::kRequestsHttp2 : HttpStat::kRequestsHttp1);
  stats_->Count(HttpStat::kRequestsActive);
  stream.SetCallbacks(this);
}

void Exchange::OnHead(bool end_stream) {
  info_.worker = &worker_;
  info_.downstream = &owner_->downstream();
  info_.request = &down_->request();
  info_.arena = &arena_;
  info_.random = worker_.random().Next();
  info_.pin = owner_->pin();
  info_.start = worker_.loop().Now();
  info_.start_wall = worker_.clock().Wall();
  http::RequestHead& head = *info_.request;
  info_.request_head_bytes = head.headers.bytes() + head.path.size() + head.method.size();
  info_.is_grpc = IsGrpc(head.headers);
  is_request_taken_ = end_stream;
  if (end_stream) info_.request_end = info_.start;
  if (worker_.overload().is_any() && owner_->ShedsRequest()) {
    return Reply({503, "envoy overloaded", "overload", -1});
  }

  const IngestResult ingested = Ingest(*options_, *info_.downstream, worker_.random(), head);
  info_.client_ip = ingested.client_ip;
  is_internal_ = ingested.is_internal;
  is_trace_forced_ = ingested.is_trace_forced;
  is_tunnel_ = !head.upgrade.empty() || head.method == "CONNECT";
  stream_idle_ = options_->stream_idle_timeout;
  Touch();
  if (!end_stream && options_->request_timeout > Duration(0)) {
    timeout_timer_.Arm(options_->request_timeout);
  }
  if (options_->stream_duration_max > Duration(0))
    duration_timer_.Arm(options_->stream_duration_max);
  if (!ingested.location.empty() && !info_.is_grpc) {  // gRPC knows no redirects
    return SendRedirect(ingested.status, ingested.location, ingested.details);
  }
  if (ingested.is_protocol_error) info_.flags.Set(ResponseFlag::kDownstreamProtocolError);
  if (ingested.status != 0) {
    const int status = ingested.location.empty() ? ingested.status : 400;
    return Reply({status, ingested.body, ingested.details, -1});
  }
  if (options_->scopes != nullptr) info_.pin = owner_->PinFor(head);
  FindRoute();
  RunFilters(0);
}

void Exchange::Touch() {
  if (stream_idle_ > Duration(0)) {
    idle_timer_.Arm(worker_.overload().Scaled(ScaledTimer::kStreamIdle, stream_idle_));
  }
}

void Exchange::OnOverload() {
  const Duration scaled = worker_.overload().Scaled(ScaledTimer::kStreamIdle, stream_idle_);
  if (idle_timer_.is_armed() && idle_timer_.deadline() > worker_.loop().Now() + scaled) {
    idle_timer_.Arm(scaled);
  }
}

void Exchange::OnBody() {
  Touch();
  if (is_response_ended_ || is_local_) return DiscardRequest();
  PumpRequest();
}

void Exchange::OnWritable() {
  Touch();
  if (is_local_) return PumpLocalBody();
  PumpResponse();
}

void Exchange::PumpRequest() {
  if (down_ == nullptr || !attempt_.is_open() || !attempt_.is_head_sent) return;
  if (attempt_.is_request_ended) return;
  http::ClientStream& up = attempt_.stream();
  // What an earlier try has already taken from the client.
  while (replayed_bytes_ < replay_.size()) {
    const std::string_view bytes = replay_.view().substr(replayed_bytes_);
    const bool is_last = is_request_taken_ && down_->trailers() == nullptr;
    const size_t taken = up.SendBody(bytes, is_last);
    replayed_bytes_ += taken;
    if (taken < bytes.size()) return;
    if (is_last) {
      attempt_.is_request_ended = true;
      return;
    }
  }
  for (;;) {
    const std::string_view bytes = is_request_taken_ ? std::string_view() : down_->PeekBody();
    const bool has_ended = is_request_taken_ || down_->body_ended();
    if (bytes.empty() && !has_ended) return;
    const http::HeaderMap* trailers = has_ended ? down_->trailers() : nullptr;
    const size_t taken = up.SendBody(bytes, has_ended && trailers == nullptr);
    const std::string_view sent = bytes.substr(0, taken);
    info_.request_body_bytes += taken;
    if (keeps_replay_) KeepForReplay(sent);
    for (const auto& mirror : mirrors_) mirror->Feed(sent, has_ended && taken == bytes.size());
    if (taken > 0) down_->ConsumeBody(taken);
    if (taken < bytes.size()) return;
    if (!has_ended) continue;
    if (trailers != nullptr) up.SendTrailers(*trailers);
    attempt_.is_request_ended = true;
    if (!is_request_taken_) OnRequestComplete();
    return;
  }
}

// After an early answer the client may still be sending; it must be able to finish.
void Exchange::DiscardRequest() {
  while (down_ != nullptr && !is_request_taken_) {
    const std::string_view bytes = down_->PeekBody();
    if (bytes.empty() && !down_->body_ended()) return;
    info_.request_body_bytes += bytes.size();
    const bool has_ended = down_->body_ended();
    if (!bytes.empty()) down_->ConsumeBody(bytes.size());
    if (has_ended) is_request_taken_ = true;
  }
}

void Exchange::PumpResponse() {
  if (down_ == nullptr || !attempt_.is_open() || !is_forwarded_) return;
  if (attempt_.is_response_ended) return;
  http::ClientStream& up = attempt_.stream();
  for (;;) {
    const std::string_view bytes = up.PeekBody();
    const bool has_ended = up.body_ended();
    if (bytes.empty() && !has_ended) return;
    const http::HeaderMap* trailers = has_ended ? up.trailers() : nullptr;
    const size_t taken = down_->SendBody(bytes, has_ended && trailers == nullptr);
    info_.response_body_bytes += taken;
    if (taken > 0) up.ConsumeBody(taken);
    if (taken < bytes.size()) return;
    if (!has_ended) continue;
    if (trailers != nullptr) {
      const std::string_view* status = trailers->Find(http::HeaderId::kGrpcStatus);
      if (status != nullptr) info_.grpc_status = arena_.Copy(*status);
      down_->SendTrailers(*trailers);
    }
    attempt_.is_response_ended = true;
    OnResponseComplete();
    return;
  }
}

void Exchange::OnResponseComplete() {
  is_response_ended_ = true;
  info_.end = worker_.loop().Now();
  timeout_timer_.Disarm();
  per_try_timer_.Disarm();
  try_idle_timer_.Disarm();
  duration_timer_.Disarm();
  EndRetry();
  if (is_request_taken_) return;
  // The upstream has nothing more to say: it need not hear the rest.
  attempt_.Cancel();
  timeout_timer_.Arm(kDiscardTime);
  DiscardRequest();
}

void Exchange::SendHead(http::ResponseHead& head, bool end_stream) {
  is_response_started_ = true;
  stage_ = Stage::kAnswering;
  info_.response = &head;
  info_.status = head.status;
  info_.response_start = worker_.loop().Now();
  for (const auto& filter : options_->response_filters) filter->OnResponse(*this);
  info_.status = head.status;
  stats_->CountAnswer(head.status);
  info_.response_head_bytes = head.headers.bytes();
  if (!options_->logged_response_headers.empty()) KeepHeaders(head.headers);
  if (const std::string_view* status = head.headers.Find(http::HeaderId::kGrpcStatus)) {
    info_.grpc_status = arena_.Copy(*status);
  }
  down_->SendResponse(head, end_stream);
}

void Exchange::KeepHeaders(const http::HeaderMap& headers) {
  using Kept = StreamInfo::KeptHeader;
  const auto& wanted = options_->logged_response_headers;
  char* const room = arena_.Allocate(wanted.size() * sizeof(Kept), alignof(Kept));
  auto* const kept = reinterpret_cast<Kept*>(room);
  size_t count = 0;
  for (const routing::HeaderRef& header : wanted) {
    const auto value = routing::ValueOf(headers, header);
    if (value.has_value()) new (&kept[count++]) Kept{header.name, arena_.Copy(*value)};
  }
  info_.kept_headers = {kept, count};
}

void Exchange::Reply(const LocalReply& reply) {
  if (down_ == nullptr) return;
  per_try_timer_.Disarm();
  try_idle_timer_.Disarm();
  timeout_timer_.Disarm();
  pause_timer_.Disarm();
  attempt_.Cancel();
  EndRetry();
  info_.details = reply.details;
  if (is_response_started_) return ResetDownstream();
  is_local_ = true;
  info_.is_local = true;
  // After a bad request nobody can tell where the next one begins (Envoy).
  // One that takes too long may never end.
  if (reply.status == 400 || reply.status == 408 || is_tunnel_) owner_->EndWithResponse();
  info_.local_reply_body = reply.body;
  LocalReplyMapping::Reply mapped{reply.status, reply.body, {}, nullptr};
  if (options_->local_replies != nullptr) {
    mapped = options_->local_replies->Map(info_, reply.status, reply.body);
    info_.status = reply.status;  // which headers still tell
    if (mapped.headers != nullptr) ApplyMutations({mapped.headers}, &local_head_);
  }
  local_body_ = FillLocalReply(*info_.request, mapped.status, mapped.body, reply.grpc_status,
                               mapped.content_type, local_head_);
  FinishResponseHead(local_head_, false);
  info_.response_body_bytes = local_body_.size();
  const bool has_body = !local_body_.empty();
  SendHead(local_head_, !has_body);
  if (has_body) {
    PumpLocalBody();
  } else {
    OnResponseComplete();
  }
}

void Exchange::PumpLocalBody() {
  if (is_response_ended_ || down_ == nullptr) return;
  const size_t taken = down_->SendBody(local_body_, true);
  const bool is_all = taken == local_body_.size();
  local_body_.remove_prefix(taken);
  if (is_all) OnResponseComplete();
}

void Exchange::ResetDownstream() {
  if (down_ == nullptr) return;
  http::ServerStream* const stream = down_;
  stats_->Count(HttpStat::kRequestsWeReset);
  Conclude();
  stream->Reset(http::ResetReason::kLocal);
  attempt_.Cancel();
  HandBackIfOver();
}

void Exchange::OnReset(http::ResetReason reason) {
  const bool is_stream_reset = reason == http::ResetReason::kRemoteReset &&
                               info_.request->protocol == http::Protocol::kHttp2;
  if (is_stream_reset || !is_response_ended_) stats_->Count(HttpStat::kRequestsReset);
  if (is_response_ended_) {
    // Only the rest of the request was missing.
  } else if (is_stream_reset) {
    info_.flags.Set(ResponseFlag::kDownstreamRemoteReset);
    info_.details = "http2.remote_reset";
  } else {
    info_.flags.Set(reason == http::ResetReason::kProtocolError
                        ? ResponseFlag::kDownstreamProtocolError
                        : ResponseFlag::kDownstreamConnectionTermination);
    info_.details = "downstream_remote_disconnect";
  }
  Conclude();
  attempt_.Cancel();
  HandBackIfOver();
}

void Exchange::Abort() {
  if (down_ == nullptr) return attempt_.Cancel();
  OnReset(http::ResetReason::kConnectionClosed);
}

void Exchange::OnFinished() {
  Conclude();
  // The upstream's stream may end a little later by itself; one that cannot is given up.
  if (attempt_.is_open() && !(attempt_.is_request_ended && attempt_.is_response_ended)) {
    attempt_.Cancel();
  }
  HandBackIfOver();
}

void Exchange::Conclude() {
  if (info_.end == MonotonicTime{}) info_.end = worker_.loop().Now();
  DisarmTimers();
  stats_->Uncount(HttpStat::kRequestsActive);
  if (is_upgraded_) stats_->Uncount(HttpStat::kUpgradesActive);
  EndRetry();
  for (const auto& mirror : mirrors_) mirror->Feed({}, true);
  mirrors_.clear();
  for (const auto& filter : options_->end_filters) filter->OnEnd(info_);
  for (const auto& log : options_->access_logs) log->Write(info_);
  stage_ = Stage::kOver;
  down_ = nullptr;
}

void Exchange::HandBackIfOver() {
  if (stage_ != Stage::kOver || down_ != nullptr || !attempt_.is_idle()) return;
  Forget();
  owner_->OnExchangeOver(*this);
}

void Exchange::DisarmTimers() {
  idle_timer_.Disarm();
  timeout_timer_.Disarm();
  per_try_timer_.Disarm();
  try_idle_timer_.Disarm();
  duration_timer_.Disarm();
  pause_timer_.Disarm();
}

void Exchange::Forget() {
  DisarmTimers();
  stage_ = Stage::kFree;
  is_request_taken_ = is_response_started_ = is_response_ended_ = is_forwarded_ = false;
  is_upgraded_ = is_internal_ = is_local_ = is_trace_forced_ = is_tunnel_ = false;
  answers_timeout_with_204_ = false;
  paused_filter_ = 0;
  local_head_.status = 0;
  local_head_.content_length = http::kLengthUnknown;
  local_head_.headers.Clear();
  local_body_ = {};
  retry_ = nullptr;
  retry_also_ = retries_left_ = 0;
  keeps_replay_ = false;
  replay_.Clear();
  replayed_bytes_ = 0;
  tried_hosts_.clear();
  timeout_ = per_try_timeout_ = stream_idle_ = Duration(0);
  asked_timeout_ = asked_per_try_ = std::nullopt;
  retriable_codes_ = {};
  hash_ = {};
  info_ = StreamInfo{};
  arena_.Reset();
}

const void* Exchange::Override(std::string_view filter) const {
  if (info_.pin == nullptr || info_.pin->routes == nullptr) return nullptr;
  const routing::FilterOverride* entry =
      routing::FindOverride(filter, info_.pin->routes->table(), info_.route, info_.weighted);
  return entry == nullptr ? nullptr : entry->config.get();
}

}  // namespace meltemi::proxy
