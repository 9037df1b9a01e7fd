// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/priorities.h"

#include <algorithm>
#include <numeric>

namespace meltemi::balance {
namespace {

struct Count {
  uint32_t total = 0, healthy = 0, degraded = 0;
};

std::vector<Count> CountHealth(const HostSet& hosts) {
  uint32_t levels = hosts.localities.empty() ? 0 : 1;
  for (const auto& locality : hosts.localities) levels = std::max(levels, locality.priority + 1);
  std::vector<Count> counts(levels);
  for (size_t host = 0; host < hosts.size(); ++host) {
    Count& count = counts[hosts.localities[hosts.locality[host]].priority];
    ++count.total;
    count.healthy += hosts.health[host] == Health::kHealthy;
    count.degraded += hosts.health[host] == Health::kDegraded;
  }
  return counts;
}

// Availability of each level in percent: min(100, overprovisioning × usable share).
std::vector<uint32_t> Availability(const std::vector<Count>& counts, uint32_t overprovisioning,
                                   bool with_degraded) {
  std::vector<uint32_t> available;
  for (const Count& count : counts) {
    const uint64_t usable = count.healthy + (with_degraded ? count.degraded : 0);
    available.push_back(count.total == 0 ? 0
                                         : static_cast<uint32_t>(std::min<uint64_t>(
                                               100, usable * overprovisioning / count.total)));
  }
  return available;
}

uint32_t Sum(const std::vector<uint32_t>& values) {
  return std::accumulate(values.begin(), values.end(), 0U);
}

}  // namespace

PriorityShares SharePriorities(const HostSet& hosts, const BalancerConfig& config) {
  const std::vector<Count> counts = CountHealth(hosts);
  std::vector<uint32_t> available = Availability(counts, config.overprovisioning_percent, false);
  bool is_degraded_used = false;
  if (Sum(available) < 100) {
    available = Availability(counts, config.overprovisioning_percent, true);
    is_degraded_used = true;
  }
  PriorityShares shares;
  shares.load.assign(counts.size(), 0);
  shares.is_panic.assign(counts.size(), false);
  shares.is_degraded_used.assign(counts.size(), is_degraded_used);
  const uint32_t normalised_total = std::min(100U, Sum(available));
  if (normalised_total < 100) {
    for (size_t i = 0; i < counts.size(); ++i) {
      const double usable = counts[i].healthy + counts[i].degraded;
      const double share = counts[i].total == 0 ? 0 : usable * 100.0 / counts[i].total;
      shares.is_panic[i] = counts[i].total > 0 && share < config.panic_threshold_percent;
    }
  }
  // Nothing usable anywhere: levels in panic share by their number of hosts.
  if (normalised_total == 0) {
    for (size_t i = 0; i < counts.size(); ++i)
      available[i] = shares.is_panic[i] ? counts[i].total : 0;
  }
  const uint32_t sum = normalised_total == 0 ? Sum(available) : normalised_total;
  if (sum == 0) return shares;
  uint32_t left = 100;
  for (size_t i = 0; i < counts.size() && left > 0; ++i) {
    shares.load[i] = std::min(left, available[i] * 100 / sum);
    left -= shares.load[i];
  }
  // Rounding must not lose requests: the first level that takes any gets the remainder.
  const auto first =
      std::find_if(shares.load.begin(), shares.load.end(), [](uint32_t l) { return l > 0; });
  if (first != shares.load.end()) *first += left;
  return shares;
}

}  // namespace meltemi::balance
