// SPDX-License-Identifier: Apache-2.0
// The upstream's side of an exchange: tries, retries, timeouts, mirrors.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/http/exchange.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/mirror.h"
#include "proxy/upstream/cluster_stats.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

using http::HeaderId;
using routing::AttemptFailure;

namespace {

struct FailureName {
  int status;
  ResponseFlag flag;
  std::string_view reason;
};

FailureName NameOf(OpenFailure failure) {
  switch (failure) {
    case OpenFailure::kNoCluster:
      return {503, ResponseFlag::kNoClusterFound, "cluster_not_found"};
    case OpenFailure::kNoHealthyHost:
      return {503, ResponseFlag::kNoHealthyUpstream, "no_healthy_upstream"};
    case OpenFailure::kOverflow:
      return {503, ResponseFlag::kUpstreamOverflow, "overflow"};
    case OpenFailure::kConnectTimeout:
      return {503, ResponseFlag::kUpstreamConnectionFailure, "connection timeout"};
    case OpenFailure::kConnectFailed:
    case OpenFailure::kTlsFailed:
      break;
  }
  return {503, ResponseFlag::kUpstreamConnectionFailure, "remote connection failure"};
}

FailureName NameOf(http::ResetReason reason) {
  switch (reason) {
    case http::ResetReason::kLocal:
      return {503, ResponseFlag::kLocalReset, "local reset"};
    case http::ResetReason::kRemoteReset:
      return {503, ResponseFlag::kUpstreamRemoteReset, "remote reset"};
    case http::ResetReason::kRefused:
      return {503, ResponseFlag::kUpstreamRemoteReset, "remote refused stream reset"};
    case http::ResetReason::kConnectTimeout:
      return {503, ResponseFlag::kUpstreamConnectionFailure, "connection timeout"};
    case http::ResetReason::kConnectionClosed:
      return {503, ResponseFlag::kUpstreamConnectionTermination, "connection termination"};
    case http::ResetReason::kProtocolError:
      return {502, ResponseFlag::kUpstreamProtocolError, "protocol error"};
    case http::ResetReason::kOverload:
      return {503, ResponseFlag::kUpstreamOverflow, "overflow"};
    case http::ResetReason::kConnectFailed:
    case http::ResetReason::kTlsFailed:
      break;
  }
  return {503, ResponseFlag::kUpstreamConnectionFailure, "remote connection failure"};
}

}  // namespace

void Exchange::CountUpstream(ClusterStat stat) {
  if (ClusterStats* stats = worker_.upstreams().Stats(info_.cluster)) stats->Count(stat);
}

void Exchange::CountUpstreamAnswer(int status) {
  if (ClusterStats* stats = worker_.upstreams().Stats(info_.cluster)) stats->CountAnswer(status);
}

void Exchange::StartForwarding(const routing::ForwardAction& action) {
  http::RequestHead& head = *info_.request;
  ReadRetries(action);
  if (!ReadTimeouts(action)) return OnDurationTimeout();
  hash_ = routing::HashRequest(
      action.hash, head,
      info_.client_ip.empty() ? info_.downstream->remote.ip_bytes() : info_.client_ip, info_.random,
      head.headers.arena());
  FinishRequestHead(action);
  if (head.expects_continue && !options_->proxies_continue) {
    down_->SendContinue();
    head.expects_continue = false;
    head.headers.Remove(HeaderId::kExpect);  // it was answered
  }
  if (!action.mirrors.empty()) StartMirrors(action);
  if (is_request_taken_) OnRequestComplete();
  if (is_tunnel_) {  // its handshake has the route's time, though its request does not end
    timeout_timer_.Disarm();
    if (timeout_ > Duration(0)) timeout_timer_.Arm(timeout_);
  }
  StartAttempt();
}

void Exchange::ReadRetries(const routing::ForwardAction& action) {
  retry_ = action.retry.get();
  if (retry_ != nullptr) {
    retries_left_ = retry_->retries_max;
    const auto& wanted = retry_->retriable_request_headers;
    if (!wanted.empty() && std::none_of(wanted.begin(), wanted.end(), [&](const auto& predicate) {
          return predicate.Matches(*info_.request);
        })) {
      retries_left_ = 0;
    }
  }
  if (is_internal_) ReadControlHeaders();
  keeps_replay_ = retries_left_ > 0 && !is_request_taken_ && info_.request->upgrade.empty();
}

void Exchange::StartMirrors(const routing::ForwardAction& action) {
  uint64_t salt = 16;  // beyond the salts of lib/routing
  for (const routing::Mirror& mirror : action.mirrors) {
    if (!mirror.fraction.Selects(routing::Mix(info_.random, salt++))) continue;
    if (auto stream = owner_->StartMirror(info_, mirror, is_request_taken_)) {
      mirrors_.push_back(std::move(stream));
    }
  }
}

void Exchange::StartAttempt() {
  attempt_.Cancel();  // a tried one whose stream has not ended yet
  stage_ = Stage::kTrying;
  ++info_.attempts;
  replayed_bytes_ = 0;
  const routing::ForwardAction& action = *info_.route.route->forward();
  if (info_.route.host->adds_attempt_count) {
    const fmt::format_int count(info_.attempts);
    info_.request->headers.Set(HeaderId::kXEnvoyAttemptCount, {count.data(), count.size()});
  }
  PickContext context;
  context.has_hash = hash_.value.has_value();
  context.hash = hash_.value.value_or(0);
  context.subset = action.subset;
  if (retry_ != nullptr && retry_->avoids_previous_hosts) context.avoid = tried_hosts_;
  context.original_destination = &info_.downstream->local;
  context.on_behalf = {&info_.downstream->remote, &info_.downstream->local,
                       info_.downstream->proxy_header()};
  context.alpn = info_.upstream_alpn;
  context.downstream_protocol = info_.request->protocol;
  context.authority = info_.request->authority;
  if (info_.attempts > 1) SetExpectedTimeout(action);
  attempt_.Open(worker_, info_.cluster, context,
                action.terminates_connect && info_.request->method == "CONNECT" &&
                    info_.request->upgrade.empty());
}

void Exchange::OnAttemptReady() {
  Host& host = attempt_.host();
  const HostInfo& facts = host.info();
  info_.upstream_host = &facts;
  info_.upstream_address = facts.address;
  info_.upstream_start = worker_.loop().Now();
  if (net::Connection* connection = attempt_.stream().connection()) {
    info_.upstream_local = connection->local_address();
    if (const net::TlsPeer* peer = connection->tls_peer()) {
      info_.upstream_uri_san = arena_.Copy(peer->uri_san);
    }
  }
  info_.upstream_workload = arena_.Copy(facts.workload);
  if (retry_ != nullptr && retries_left_ > 0) tried_hosts_.push_back(&host);
  const routing::ForwardAction& action = *info_.route.route->forward();
  http::RequestHead& head = *info_.request;
  if (action.is_host_rewritten_to_upstream && !facts.hostname.empty()) {
    if (action.appends_forwarded_host && info_.attempts == 1) {
      head.headers.Add(HeaderId::kXForwardedHost, head.authority);
    }
    head.authority = head.headers.arena().Copy(facts.hostname);
  }
  const bool has_body = !is_request_taken_ || !replay_.empty() || down_->trailers() != nullptr;
  attempt_.stream().SendRequest(head, !has_body);
  attempt_.is_head_sent = true;
  attempt_.is_request_ended = !has_body;
  ArmPerTry();
  if (has_body) PumpRequest();
}

void Exchange::OnRequestComplete() {
  is_request_taken_ = true;
  info_.request_end = worker_.loop().Now();
  timeout_timer_.Disarm();  // the request's own
  if (timeout_ > Duration(0) && !is_response_ended_) timeout_timer_.Arm(timeout_);
  ArmPerTry();
}

void Exchange::KeepForReplay(std::string_view bytes) {
  if (replay_.size() + bytes.size() > kReplayBytesMax) {
    // retry_or_shadow_abandoned: too much to send twice.
    keeps_replay_ = false;
    retries_left_ = 0;
    replay_.Clear();
    replayed_bytes_ = 0;
    return;
  }
  replay_.Append(bytes);
  replayed_bytes_ = replay_.size();
}

void Exchange::OnAttemptHead(bool end_stream) {
  Touch();
  TouchTry();
  http::ResponseHead& head = attempt_.stream().response();
  attempt_.host().Report(head.status);
  per_try_timer_.Disarm();
  if (retry_ != nullptr && head.status != 101) {
    if (Retry(retry_->Retries(head, retry_also_) || IsRetriableByHeader(head.status))) {
      // A response that is already whole ends by itself, and its connection can be used again.
      if (!end_stream || !attempt_.is_request_ended) attempt_.Cancel();
      return;
    }
  }
  CountUpstreamAnswer(head.status);
  if (info_.attempts > 1 && head.status < 500) CountUpstream(ClusterStat::kRetrySuccess);
  is_forwarded_ = true;
  keeps_replay_ = false;
  replay_.Clear();
  replayed_bytes_ = 0;
  is_upgraded_ =
      is_tunnel_ && (info_.request->upgrade.empty() ? head.status / 100 == 2 : head.status == 101);
  if (is_upgraded_) {
    timeout_timer_.Disarm();
    stats_->Count(HttpStat::kUpgrades);
    stats_->Count(HttpStat::kUpgradesActive);
  }
  if (end_stream) try_idle_timer_.Disarm();
  info_.details = "via_upstream";
  const auto took = worker_.loop().Now() - info_.request_end;
  if (!options_->suppresses_envoy_headers && is_request_taken_) {
    const fmt::format_int text(std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
    info_.upstream_service_time = arena_.Copy({text.data(), text.size()});
    head.headers.Set(HeaderId::kXEnvoyUpstreamServiceTime, info_.upstream_service_time);
  } else {
    info_.upstream_service_time =
        arena_.Copy(head.headers.Get(HeaderId::kXEnvoyUpstreamServiceTime));
  }
  FinishResponseHead(head, true);
  SendHead(head, end_stream);
  if (end_stream) {
    attempt_.is_response_ended = true;
    OnResponseComplete();
  } else {
    PumpResponse();
  }
}

void Exchange::OnAttemptInformational(const http::ResponseHead& head) {
  // Without proxy_100_continue the client's 100 is ours, and Envoy drops all others too.
  if (down_ == nullptr || is_response_started_ || !options_->proxies_continue) return;
  if (head.status == 100) {
    info_.request->expects_continue = false;
    down_->SendContinue();
  } else {
    down_->SendInformational(head);
  }
}

void Exchange::OnAttemptBody() {
  Touch();
  TouchTry();
  PumpResponse();
}

void Exchange::OnAttemptWritable() {
  Touch();
  TouchTry();
  PumpRequest();
}

void Exchange::OnAttemptFinished() {
  if (!is_local_) info_.response = nullptr;
  info_.upstream_host = nullptr;
  HandBackIfOver();
}

bool Exchange::Retry(bool is_wanted) {
  if (!is_wanted || is_response_started_ || down_ == nullptr || retry_ == nullptr) return false;
  if (retries_left_ == 0) {
    info_.flags.Set(ResponseFlag::kUpstreamRetryLimitExceeded);
    CountUpstream(ClusterStat::kRetryLimit);
    return false;
  }
  EndRetry();
  if (!worker_.upstreams().BeginRetry(info_.cluster)) {
    info_.flags.Set(ResponseFlag::kUpstreamOverflow);
    return false;
  }
  has_retry_count_ = true;
  --retries_left_;
  per_try_timer_.Disarm();
  try_idle_timer_.Disarm();
  stage_ = Stage::kBackingOff;
  pause_timer_.Arm(retry_->Backoff(info_.attempts, worker_.random().Next()));
  return true;
}

void Exchange::EndRetry() {
  if (!std::exchange(has_retry_count_, false)) return;
  worker_.upstreams().EndRetry(info_.cluster);
}

void Exchange::OnAttemptFailed(const OpenFailureInfo& failure) {
  per_try_timer_.Disarm();
  if (down_ == nullptr) return HandBackIfOver();
  if (failure.host != nullptr) {
    info_.upstream_address = failure.host->address();
    if (retry_ != nullptr && retries_left_ > 0) tried_hosts_.push_back(failure.host);
  }
  const bool is_connect = failure.kind == OpenFailure::kConnectFailed ||
                          failure.kind == OpenFailure::kConnectTimeout ||
                          failure.kind == OpenFailure::kTlsFailed;
  if (Retry(is_connect && retry_ != nullptr &&
            retry_->Retries(AttemptFailure::kConnectFailed, retry_also_))) {
    return;
  }
  const FailureName name = NameOf(failure.kind);
  info_.flags.Set(name.flag);
  if (failure.kind == OpenFailure::kNoCluster) {
    const int status = info_.route.route->forward()->cluster_not_found_status;
    return Reply({status, "", name.reason, -1});
  }
  if (failure.kind == OpenFailure::kNoHealthyHost) {
    CountUpstreamAnswer(503);
    return Reply({503, "no healthy upstream", name.reason, -1});
  }
  if (failure.kind == OpenFailure::kOverflow) {
    if (!options_->suppresses_envoy_headers) local_head_.headers.Add("x-envoy-overloaded", "true");
    return FailUpstream(name.status, name.flag, name.reason, {});
  }
  info_.upstream_failure = arena_.Copy(failure.detail);
  FailUpstream(name.status, name.flag, name.reason, failure.detail);
}

void Exchange::OnAttemptReset(http::ResetReason reason) {
  per_try_timer_.Disarm();
  try_idle_timer_.Disarm();
  if (!is_local_) info_.response = nullptr;
  info_.upstream_host = nullptr;
  if (down_ == nullptr) return HandBackIfOver();
  if (is_response_ended_) return;
  if (reason == http::ResetReason::kRemoteReset || reason == http::ResetReason::kRefused) {
    CountUpstream(ClusterStat::kReset);
  }
  attempt_.host().Report(0);
  const FailureName name = NameOf(reason);
  if (is_response_started_) {
    info_.flags.Set(name.flag);
    fmt::memory_buffer text;
    fmt::format_to(std::back_inserter(text), "upstream_reset_after_response_started{{{}}}",
                   name.reason);
    std::replace(text.begin(), text.end(), ' ', '_');
    info_.details = arena_.Copy({text.data(), text.size()});
    return ResetDownstream();
  }
  AttemptFailure failure = AttemptFailure::kReset;
  if (reason == http::ResetReason::kRefused) failure = AttemptFailure::kRefused;
  if (!attempt_.is_head_sent) failure = AttemptFailure::kResetBeforeRequest;
  if (reason == http::ResetReason::kOverload) failure = AttemptFailure::kOverflow;
  if (reason == http::ResetReason::kConnectFailed || reason == http::ResetReason::kTlsFailed ||
      reason == http::ResetReason::kConnectTimeout) {
    failure = AttemptFailure::kConnectFailed;
  }
  if (Retry(retry_ != nullptr && retry_->Retries(failure, retry_also_))) return;
  info_.flags.Set(name.flag);
  FailUpstream(name.status, name.flag, name.reason, {});
}

// Envoy's texts: tools and people search for them.
void Exchange::FailUpstream(int status, ResponseFlag flag, std::string_view reason,
                            std::string_view transport_detail) {
  CountUpstreamAnswer(status);
  info_.flags.Set(flag);
  fmt::memory_buffer details;
  fmt::format_to(std::back_inserter(details), "upstream_reset_before_response_started{{{}{}{}}}",
                 reason, transport_detail.empty() ? "" : "|", transport_detail);
  std::replace(details.begin(), details.end(), ' ', '_');
  fmt::memory_buffer body;
  fmt::format_to(std::back_inserter(body),
                 "upstream connect error or disconnect/reset before headers. {}reset reason: {}",
                 info_.attempts > 1 ? "retried and the latest " : "", reason);
  Reply({status, arena_.Copy({body.data(), body.size()}),
         arena_.Copy({details.data(), details.size()}), -1});
}

}  // namespace meltemi::proxy
