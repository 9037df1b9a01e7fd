// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/breaker_gauges.h"

#include <algorithm>

namespace meltemi::proxy {
namespace {

using telemetry::MetricType;
// First whether each is met, then what each has left.
constexpr telemetry::StatDefinition kDefinitions[] = {
    {"circuit_breakers.default.cx_open", MetricType::kGauge, "1: max_connections is met."},
    {"circuit_breakers.default.rq_pending_open", MetricType::kGauge,
     "1: max_pending_requests is met."},
    {"circuit_breakers.default.rq_open", MetricType::kGauge, "1: max_requests is met."},
    {"circuit_breakers.default.rq_retry_open", MetricType::kGauge, "1: max_retries is met."},
    {"circuit_breakers.default.remaining_cx", MetricType::kGauge, "Connections left."},
    {"circuit_breakers.default.remaining_pending", MetricType::kGauge, "Waiting requests left."},
    {"circuit_breakers.default.remaining_rq", MetricType::kGauge, "Requests left."},
    {"circuit_breakers.default.remaining_retries", MetricType::kGauge, "Retries left."},
};
constexpr size_t kBreakers = 4;

// A breaker of 0 is open only once something has passed it all the same: Envoy tells a gauge when
// its count changes.
bool IsOpen(uint64_t used, uint64_t limit) {
  return limit != BreakerCount::kNoLimit && used > 0 && used >= limit;
}

}  // namespace

BreakerGauges::BreakerGauges(telemetry::Registry& registry)
    : families_(registry, "cluster.{}.", "envoy_cluster_name", kDefinitions), recorder_(registry) {}

void BreakerGauges::Set(std::string_view cluster, const Breakers& limits,
                        const SharedBreakers& counts) {
  const struct {
    uint64_t used, limit;
  } breakers[kBreakers] = {{counts.connections.value(), limits.connections_max},
                           {counts.pending.value(), limits.pending_max},
                           {counts.requests.value(), limits.requests_max},
                           {counts.retries.value(), limits.retries_max}};
  const bool is_open = std::any_of(std::begin(breakers), std::end(breakers),
                                   [](const auto& one) { return IsOpen(one.used, one.limit); });
  if (!is_open && !limits.tells_remaining && !seen_.contains(cluster)) return;
  seen_.emplace(cluster);
  telemetry::StatGroup group(&families_, &recorder_, cluster);
  for (size_t i = 0; i < kBreakers; ++i) {
    const auto& [used, limit] = breakers[i];
    group.Set(i, IsOpen(used, limit) ? 1 : 0);
    if (limits.tells_remaining) group.Set(kBreakers + i, limit - std::min(used, limit));
  }
}

}  // namespace meltemi::proxy
