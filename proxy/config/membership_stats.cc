// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/membership_stats.h"

#include <algorithm>

namespace meltemi::proxy {
namespace {

using telemetry::MetricType;
enum Stat : uint8_t { kTotal, kHealthy, kDegraded, kChange };
constexpr telemetry::StatDefinition kDefinitions[] = {
    {"membership_total", MetricType::kGauge, "Hosts."},
    {"membership_healthy", MetricType::kGauge, "Hosts that are healthy."},
    {"membership_degraded", MetricType::kGauge, "Hosts that are degraded."},
    {"membership_change", MetricType::kCounter, "Changes of the hosts."},
};

size_t CountOf(const EndpointSet& set, balance::Health health) {
  return static_cast<size_t>(std::count(set.health.begin(), set.health.end(), health));
}

bool HasSameHosts(const EndpointSet& before, const EndpointSet& now) {
  if (before.hosts.size() != now.hosts.size()) return false;
  return std::all_of(now.hosts.begin(), now.hosts.end(),
                     [&](const auto& host) { return before.Find(*host) != balance::kNoHost; });
}

}  // namespace

MembershipStats::MembershipStats(telemetry::Registry& registry)
    : families_(registry, "cluster.{}.", "envoy_cluster_name", kDefinitions), recorder_(registry) {}

void MembershipStats::Set(std::string_view cluster, const EndpointSet* before,
                          const EndpointSet* now) {
  telemetry::StatGroup group(&families_, &recorder_, cluster);
  group.Set(kTotal, now == nullptr ? 0 : now->hosts.size());
  group.Set(kHealthy, now == nullptr ? 0 : CountOf(*now, balance::Health::kHealthy));
  group.Set(kDegraded, now == nullptr ? 0 : CountOf(*now, balance::Health::kDegraded));
  const bool is_first = before == nullptr && (now == nullptr || now->hosts.empty());
  if (is_first || (before != nullptr && now != nullptr && HasSameHosts(*before, *now))) return;
  group.Add(kChange);
}

}  // namespace meltemi::proxy
