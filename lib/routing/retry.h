// SPDX-License-Identifier: Apache-2.0
// When a failed attempt is tried again, and after how long. Immutable, thread-safe, no clock: the
// caller waits, and draws the random values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/routing/predicates.h"

namespace meltemi::routing {

// How an attempt ended without a response.
enum class AttemptFailure : uint8_t {
  kConnectFailed,       // no connection; nothing was sent
  kRefused,             // the peer says it did not process the request
  kResetBeforeRequest,  // reset before any byte of the request was sent
  kReset,               // reset or closed after sending began
  kPerTryTimeout,
  kOverflow,  // a circuit breaker of ours: never tried again
};

struct RetryPolicy {
  enum Condition : uint32_t {
    k5xx = 1 << 0,
    kGatewayError = 1 << 1,
    kReset = 1 << 2,
    kResetBeforeRequest = 1 << 3,
    kConnectFailure = 1 << 4,
    kEnvoyRateLimited = 1 << 5,
    kRetriable4xx = 1 << 6,
    kRefusedStream = 1 << 7,
    kRetriableStatusCodes = 1 << 8,
    kRetriableHeaders = 1 << 9,
    kGrpcCancelled = 1 << 10,
    kGrpcDeadlineExceeded = 1 << 11,
    kGrpcInternal = 1 << 12,
    kGrpcResourceExhausted = 1 << 13,
    kGrpcUnavailable = 1 << 14,
    kHttp3PostConnect = 1 << 15,  // known, never true: there is no HTTP/3 upstream
  };

  uint32_t conditions = 0;
  uint32_t retries_max = 1;
  uint32_t host_attempts_max = 1;  // picks that may be refused by `avoids_previous_hosts`
  bool avoids_previous_hosts = false;
  Duration per_try_timeout{0};  // 0 = none
  Duration per_try_idle_timeout{0};
  Duration backoff_base = std::chrono::milliseconds(25);
  Duration backoff_max = std::chrono::milliseconds(250);
  std::vector<int> retriable_status_codes;
  std::vector<HeaderPredicate> retriable_headers;          // of the response
  std::vector<HeaderPredicate> retriable_request_headers;  // empty, or one must match

  // `also` = conditions a request's own headers add.
  bool Retries(AttemptFailure failure, uint32_t also = 0) const;
  bool Retries(const http::ResponseHead& response, uint32_t also = 0) const;
  // Full jitter: uniform in [0, min(max, (2^attempt − 1) · base)); `attempt` counts from 1.
  Duration Backoff(uint32_t attempt, uint64_t random) const;
};

// "connect-failure,refused-stream,503": names of Envoy's retry_on; bare numbers, as Istio's API
// allows, are status codes. The header form ignores what it does not know, as Envoy does.
StatusOr<RetryPolicy> ParseRetryOn(std::string_view conditions);
uint32_t ParseRetryOnHeader(std::string_view conditions);

}  // namespace meltemi::routing
