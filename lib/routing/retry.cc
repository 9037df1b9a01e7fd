// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace meltemi::routing {
namespace {

struct ConditionName {
  std::string_view name;
  RetryPolicy::Condition condition;
};

constexpr ConditionName kConditions[] = {
    {"5xx", RetryPolicy::k5xx},
    {"cancelled", RetryPolicy::kGrpcCancelled},
    {"connect-failure", RetryPolicy::kConnectFailure},
    {"deadline-exceeded", RetryPolicy::kGrpcDeadlineExceeded},
    {"envoy-ratelimited", RetryPolicy::kEnvoyRateLimited},
    {"gateway-error", RetryPolicy::kGatewayError},
    {"http3-post-connect-failure", RetryPolicy::kHttp3PostConnect},
    {"internal", RetryPolicy::kGrpcInternal},
    {"refused-stream", RetryPolicy::kRefusedStream},
    {"reset", RetryPolicy::kReset},
    {"reset-before-request", RetryPolicy::kResetBeforeRequest},
    {"resource-exhausted", RetryPolicy::kGrpcResourceExhausted},
    {"retriable-4xx", RetryPolicy::kRetriable4xx},
    {"retriable-headers", RetryPolicy::kRetriableHeaders},
    {"retriable-status-codes", RetryPolicy::kRetriableStatusCodes},
    {"unavailable", RetryPolicy::kGrpcUnavailable},
};

std::optional<RetryPolicy::Condition> FindCondition(std::string_view name) {
  for (const ConditionName& entry : kConditions) {
    if (entry.name == name) return entry.condition;
  }
  return std::nullopt;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

template <typename Visit>
void ForEachPart(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (const std::string_view part = Trim(text.substr(0, comma)); !part.empty()) visit(part);
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

uint32_t ConditionOfGrpcStatus(std::string_view status) {
  if (status == "1") return RetryPolicy::kGrpcCancelled;
  if (status == "4") return RetryPolicy::kGrpcDeadlineExceeded;
  if (status == "8") return RetryPolicy::kGrpcResourceExhausted;
  if (status == "13") return RetryPolicy::kGrpcInternal;
  if (status == "14") return RetryPolicy::kGrpcUnavailable;
  return 0;
}

}  // namespace

bool RetryPolicy::Retries(AttemptFailure failure, uint32_t also) const {
  const uint32_t mask = conditions | also;
  constexpr uint32_t kAnyReset = k5xx | kGatewayError | kReset;
  switch (failure) {
    case AttemptFailure::kConnectFailed:
      return mask & (kAnyReset | kConnectFailure | kResetBeforeRequest);
    case AttemptFailure::kRefused:
      return mask & (kAnyReset | kRefusedStream | kResetBeforeRequest);
    case AttemptFailure::kResetBeforeRequest:
      return mask & (kAnyReset | kResetBeforeRequest);
    case AttemptFailure::kReset:
      return mask & kAnyReset;
    case AttemptFailure::kPerTryTimeout:
      return mask & kAnyReset;
    case AttemptFailure::kOverflow:
      return false;
  }
  return false;
}

bool RetryPolicy::Retries(const http::ResponseHead& response, uint32_t also) const {
  const uint32_t mask = conditions | also;
  const int status = response.status;
  if (response.headers.Find("x-envoy-overloaded") != nullptr) return false;
  if (response.headers.Find("x-envoy-ratelimited") != nullptr) {
    return mask & kEnvoyRateLimited;
  }
  if ((mask & k5xx) && status >= 500 && status < 600) return true;
  if ((mask & kGatewayError) && status >= 502 && status <= 504) return true;
  if ((mask & kRetriable4xx) && status == 409) return true;
  if ((mask & kRetriableStatusCodes) &&
      std::find(retriable_status_codes.begin(), retriable_status_codes.end(), status) !=
          retriable_status_codes.end()) {
    return true;
  }
  if (mask & kRetriableHeaders) {
    for (const HeaderPredicate& predicate : retriable_headers) {
      if (predicate.Matches(response.headers)) return true;
    }
  }
  // Only a trailers-only answer carries grpc-status in its head.
  const std::string_view* grpc_status = response.headers.Find(http::HeaderId::kGrpcStatus);
  return grpc_status != nullptr && (mask & ConditionOfGrpcStatus(*grpc_status));
}

Duration RetryPolicy::Backoff(uint32_t attempt, uint64_t random) const {
  const uint64_t factor = (uint64_t{1} << std::min<uint32_t>(attempt, 20)) - 1;
  const uint64_t base = static_cast<uint64_t>(backoff_base.count());
  const uint64_t limit = static_cast<uint64_t>(backoff_max.count());
  const uint64_t span = base == 0 || factor > limit / base ? limit : factor * base;
  return Duration(span == 0 ? 0 : random % span);
}

StatusOr<RetryPolicy> ParseRetryOn(std::string_view conditions) {
  RetryPolicy policy;
  Status status;
  ForEachPart(conditions, [&](std::string_view part) {
    if (const auto condition = FindCondition(part)) {
      policy.conditions |= *condition;
      return;
    }
    int code = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), code);
    if (error == std::errc() && end == part.data() + part.size() && code >= 100 && code < 600) {
      policy.conditions |= RetryPolicy::kRetriableStatusCodes;
      policy.retriable_status_codes.push_back(code);
    } else {
      status = absl::InvalidArgumentError(fmt::format("unknown retry condition \"{}\"", part));
    }
  });
  if (!status.ok()) return status;
  return policy;
}

uint32_t ParseRetryOnHeader(std::string_view conditions) {
  uint32_t mask = 0;
  ForEachPart(conditions, [&](std::string_view part) {
    if (const auto condition = FindCondition(part)) mask |= *condition;
  });
  return mask;
}

}  // namespace meltemi::routing
