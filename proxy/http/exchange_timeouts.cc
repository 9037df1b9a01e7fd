// SPDX-License-Identifier: Apache-2.0
// How long a request may take, and what an internal client's own headers change about it and about
// retries (data-plane.md §2.10).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "proxy/http/exchange.h"
#include "proxy/upstream/cluster_stats.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

using http::HeaderId;
using routing::AttemptFailure;

namespace {

// A whole number, or nothing.
std::optional<uint32_t> Number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Duration> MillisecondsOf(std::string_view text) {
  const std::optional<uint32_t> value = Number(text);
  if (!value.has_value()) return std::nullopt;
  return std::chrono::milliseconds(*value);
}

// grpc-timeout: up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
std::optional<Duration> GrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  const std::optional<uint32_t> value = Number(text.substr(0, text.size() - 1));
  if (!value.has_value()) return std::nullopt;
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(*value);
    case 'M':
      return std::chrono::minutes(*value);
    case 'S':
      return std::chrono::seconds(*value);
    case 'm':
      return std::chrono::milliseconds(*value);
    case 'u':
      return std::chrono::microseconds(*value);
    case 'n':
      return std::chrono::nanoseconds(*value);
    default:
      return std::nullopt;
  }
}

// What the client allows, less the offset where something remains, at most `max` (0 = no bound).
Duration Bounded(Duration timeout, Duration offset, Duration max) {
  if (offset < timeout) timeout -= offset;
  if (max > Duration(0) && (timeout == Duration(0) || timeout > max)) return max;
  return timeout;
}

int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

void SetGrpcTimeout(Duration timeout, http::HeaderMap& headers) {
  constexpr int64_t kDigitsMax = 99'999'999;
  const int64_t milliseconds = Milliseconds(timeout);
  char text[24];
  const auto written =
      milliseconds <= kDigitsMax
          ? fmt::format_to_n(text, sizeof text, "{}m", milliseconds)
          : fmt::format_to_n(text, sizeof text, "{}S", std::min(milliseconds / 1000, kDigitsMax));
  headers.Set(HeaderId::kGrpcTimeout, {text, written.size});
}

bool HasElement(std::string_view list, int64_t number) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view element = list.substr(0, comma);
    while (element.starts_with(' ')) element.remove_prefix(1);
    while (element.ends_with(' ')) element.remove_suffix(1);
    if (Number(element) == number) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// Names of retry_on's conditions alone: those of gRPC, or the others.
bool AreConditions(std::string_view list, bool is_grpc) {
  constexpr std::string_view kGrpc[] = {"cancelled", "deadline-exceeded", "internal",
                                        "resource-exhausted", "unavailable"};
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view name = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const bool is_of_grpc = std::find(std::begin(kGrpc), std::end(kGrpc), name) != std::end(kGrpc);
    if (is_of_grpc != is_grpc || !routing::ParseRetryOn(name).ok()) return false;
  }
  return true;
}

// Retries asked for by headers on a route without a policy of its own.
const routing::RetryPolicy& PolicyOfHeaders() {
  static const routing::RetryPolicy policy;
  return policy;
}

}  // namespace

bool Exchange::PassesStrictCheck() {
  for (const std::string& name : options_->strict_headers) {
    const std::string_view* value = info_.request->headers.Find(name);
    if (value == nullptr) continue;
    const bool is_list = name == "x-envoy-retry-on" || name == "x-envoy-retry-grpc-on";
    const bool is_good = is_list ? AreConditions(*value, name == "x-envoy-retry-grpc-on")
                                 : Number(*value).has_value();
    if (is_good) continue;
    info_.flags.Set(ResponseFlag::kInvalidEnvoyRequestHeaders);
    fmt::memory_buffer body, details;
    fmt::format_to(std::back_inserter(body), "invalid header '{}' with value '{}'", name, *value);
    fmt::format_to(std::back_inserter(details), "request_headers_failed_strict_check{{{}}}", name);
    Reply({400, arena_.Copy({body.data(), body.size()}),
           arena_.Copy({details.data(), details.size()}), -1});
    return false;
  }
  return true;
}

// Only internal clients' requests still carry these; none goes further.
void Exchange::ReadControlHeaders() {
  std::optional<uint32_t> retries_max;
  uint32_t retry_on = 0;
  std::erase_if(info_.request->headers.mutable_fields(), [&](const http::HeaderField& field) {
    if (!field.name.starts_with("x-envoy-")) return false;
    const std::string_view name = field.name.substr(8);
    if (name == "retry-on" || name == "retry-grpc-on") {
      retry_on |= routing::ParseRetryOnHeader(field.value);
    } else if (name == "max-retries") {
      retries_max = Number(field.value);
    } else if (name == "retriable-status-codes") {
      retriable_codes_ = field.value;
    } else if (name == "upstream-rq-timeout-ms") {
      asked_timeout_ = MillisecondsOf(field.value);
    } else if (name == "upstream-rq-per-try-timeout-ms") {
      asked_per_try_ = MillisecondsOf(field.value);
    } else if (name == "upstream-rq-timeout-alt-response") {
      answers_timeout_with_204_ = true;
    } else {
      return name == "retriable-header-names" || name == "hedge-on-per-try-timeout" ||
             name == "upstream-alt-stat-name";
    }
    return true;
  });
  if (retry_on != 0) {
    retry_also_ = retry_on;
    if (retry_ == nullptr) {
      retry_ = &PolicyOfHeaders();
      retries_left_ = retry_->retries_max;
    }
  }
  if (retry_ != nullptr && retries_max.has_value()) retries_left_ = *retries_max;
}

bool Exchange::IsRetriableByHeader(int status) const {
  return (retry_also_ & routing::RetryPolicy::kRetriableStatusCodes) != 0 &&
         HasElement(retriable_codes_, status);
}

bool Exchange::ReadTimeouts(const routing::ForwardAction& action) {
  http::HeaderMap& headers = info_.request->headers;
  // A route that bounds its streams bounds them by that alone (Envoy).
  timeout_ = action.has_stream_duration ? Duration(0) : action.timeout;
  per_try_timeout_ = retry_ == nullptr ? Duration(0) : retry_->per_try_timeout;
  std::optional<Duration> asked;
  // A stream's bound goes by the header alone, whatever the request is (Envoy).
  if (action.grpc_duration_max || (info_.is_grpc && action.grpc_timeout_max)) {
    asked = GrpcTimeout(headers.Get(HeaderId::kGrpcTimeout));
  }
  if (info_.is_grpc && action.grpc_timeout_max && !action.has_stream_duration) {
    timeout_ =
        Bounded(asked.value_or(Duration(0)), action.grpc_timeout_offset, *action.grpc_timeout_max);
  }
  if (is_internal_) {
    timeout_ = asked_timeout_.value_or(timeout_);
    per_try_timeout_ = asked_per_try_.value_or(per_try_timeout_);
  }
  if (timeout_ > Duration(0) && per_try_timeout_ >= timeout_) per_try_timeout_ = Duration(0);
  if (action.idle_timeout.has_value()) {
    stream_idle_ = *action.idle_timeout;
    idle_timer_.Disarm();
    Touch();
  }
  const bool has_time = ReadStreamDuration(action, asked);
  SetExpectedTimeout(action);
  return has_time;
}

bool Exchange::ReadStreamDuration(const routing::ForwardAction& action,
                                  std::optional<Duration> asked) {
  if (!action.has_stream_duration) return true;  // the connection manager's, already armed
  Duration duration = action.stream_duration_max.value_or(options_->stream_duration_max);
  bool is_bounded = duration > Duration(0);
  if (asked.has_value() && action.grpc_duration_max.has_value()) {
    const Duration max = *action.grpc_duration_max;
    duration = max > Duration(0) ? std::min(*asked, max) : *asked;
    duration = std::max(duration - action.grpc_duration_offset, Duration(0));
    is_bounded = true;  // a deadline of 0 has passed already
  }
  duration_timer_.Disarm();
  if (!is_bounded) return true;
  if (info_.is_grpc) SetGrpcTimeout(duration, info_.request->headers);
  const Duration used = worker_.loop().Now() - info_.start;
  if (used >= duration) return false;
  duration_timer_.Arm(duration - used);
  return true;
}

// Tells the upstream how long its answer is waited for.
void Exchange::SetExpectedTimeout(const routing::ForwardAction& action) {
  Duration expected = per_try_timeout_ > Duration(0) ? per_try_timeout_ : timeout_;
  if (expected <= Duration(0)) return;
  if (timeout_ > Duration(0) && info_.request_end != MonotonicTime{}) {
    const Duration left = timeout_ - (worker_.loop().Now() - info_.request_end);
    expected = std::clamp(expected, Duration(std::chrono::milliseconds(1)),
                          std::max(left, Duration(std::chrono::milliseconds(1))));
  }
  http::HeaderMap& headers = info_.request->headers;
  if (!options_->suppresses_envoy_headers) {
    const fmt::format_int text(Milliseconds(expected));
    headers.Set(HeaderId::kXEnvoyExpectedRqTimeoutMs, {text.data(), text.size()});
  }
  if (info_.is_grpc && action.grpc_timeout_max && !action.has_stream_duration) {
    SetGrpcTimeout(expected, headers);
  }
}

// A try's time runs once it has a stream and the whole request is there (Envoy).
void Exchange::ArmPerTry() {
  if (!attempt_.is_open() || !attempt_.is_head_sent || is_response_started_) return;
  TouchTry();
  if (per_try_timeout_ > Duration(0) && (is_request_taken_ || is_tunnel_) &&
      !per_try_timer_.is_armed()) {
    per_try_timer_.Arm(per_try_timeout_);
  }
}

void Exchange::TouchTry() {
  if (retry_ == nullptr || retry_->per_try_idle_timeout <= Duration(0)) return;
  if (!attempt_.is_open() || attempt_.is_response_ended) return;
  try_idle_timer_.Arm(retry_->per_try_idle_timeout);
}

void Exchange::OnRouteTimeout() {
  if (down_ == nullptr) return;
  if (is_response_ended_) return ResetDownstream();  // the client never ended its request
  if (!is_request_taken_ && !waits_for_upgrade()) {
    stats_->Count(HttpStat::kRequestsTooSlow);
    return Reply({408, "request timeout", "request_overall_timeout", -1});
  }
  if (attempt_.is_open()) attempt_.host().Report(504);
  CountUpstream(ClusterStat::kTimeout);
  ReplyUpstreamTimeout("response_timeout");
}

void Exchange::ReplyUpstreamTimeout(std::string_view details) {
  CountUpstreamAnswer(504);
  info_.flags.Set(ResponseFlag::kUpstreamRequestTimeout);
  if (answers_timeout_with_204_) return Reply({204, "", details, -1});
  Reply({504, "upstream request timeout", details, -1});
}

void Exchange::OnPerTryTimeout() {
  CountUpstream(ClusterStat::kPerTryTimeout);
  OnTryTooSlow("upstream_per_try_timeout");
}

void Exchange::OnTryIdle() {
  CountUpstream(ClusterStat::kPerTryIdleTimeout);
  OnTryTooSlow("upstream_per_try_idle_timeout");
}

void Exchange::OnTryTooSlow(std::string_view details) {
  if (down_ == nullptr) return;
  if (attempt_.is_open()) attempt_.host().Report(504);
  if (!is_response_started_) {
    attempt_.Cancel();
    info_.response = nullptr;
    if (Retry(retry_ != nullptr && retry_->Retries(AttemptFailure::kPerTryTimeout, retry_also_)))
      return;
  }
  ReplyUpstreamTimeout(details);
}

void Exchange::OnIdleTimeout() {
  if (down_ == nullptr) return;
  info_.flags.Set(ResponseFlag::kStreamIdleTimeout);
  stats_->Count(HttpStat::kRequestsIdle);
  Reply({is_request_taken_ ? 504 : 408, "stream timeout", "stream_idle_timeout", -1});
}

void Exchange::OnDurationTimeout() {
  if (down_ == nullptr) return;
  stats_->Count(HttpStat::kRequestsMaxDuration);
  constexpr int kDeadlineExceeded = 4;
  Reply({is_request_taken_ ? 504 : 408, "downstream duration timeout", "max_duration_timeout",
         kDeadlineExceeded});
}

}  // namespace meltemi::proxy
