// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/balancer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/balance/priorities.h"
#include "lib/balance/selector.h"

namespace meltemi::balance {
namespace {

// One locality of one priority, or, when localities carry no weight, all hosts of the priority.
using Group = std::unique_ptr<const Selector>;

struct PriorityLevel {
  std::vector<Group> groups;
  AliasTable choice;  // among groups; empty when there is one at most
};

class LeveledBalancer final : public Balancer {
 public:
  LeveledBalancer(PriorityShares shares, std::vector<PriorityLevel> levels)
      : shares_(std::move(shares)), levels_(std::move(levels)) {}

  uint32_t Pick(const PickKey& key, PickState& state) const override {
    const uint64_t hash = key.has_hash ? key.hash : state.Random();
    const PriorityLevel* level = ChooseLevel(hash, key.has_hash, state);
    if (level == nullptr) return kNoHost;
    const auto& groups = level->groups;
    if (groups.empty()) return kNoHost;
    const size_t at = groups.size() == 1 ? 0 : level->choice.Draw(state.Random());
    return groups[at]->Select(hash, state);
  }
  std::span<const uint32_t> priority_loads() const override { return shares_.load; }
  bool is_in_panic(uint32_t priority) const override {
    return priority < shares_.is_panic.size() && shares_.is_panic[priority];
  }

 private:
  const PriorityLevel* ChooseLevel(uint64_t hash, bool has_hash, PickState& state) const {
    if (levels_.empty()) return nullptr;
    if (shares_.load[0] == 100) return &levels_[0];
    // A given hash always goes to the same priority while loads stay.
    const auto point = static_cast<uint32_t>((has_hash ? hash : state.Random()) % 100);
    uint32_t sum = 0;
    for (size_t i = 0; i < levels_.size(); ++i) {
      sum += shares_.load[i];
      if (point < sum) return &levels_[i];
    }
    return nullptr;
  }

  const PriorityShares shares_;
  const std::vector<PriorityLevel> levels_;
};

// Hosts of one locality that may be used: healthy ones, or in panic all.
std::vector<uint32_t> Usable(const HostSet& hosts, const std::vector<uint32_t>& members,
                             bool is_panic, bool is_degraded_used) {
  std::vector<uint32_t> usable;
  for (uint32_t host : members) {
    const Health health = hosts.health[host];
    if (is_panic || health == Health::kHealthy ||
        (is_degraded_used && health == Health::kDegraded)) {
      usable.push_back(host);
    }
  }
  return usable;
}

PriorityLevel BuildLevel(const HostSet& hosts, uint32_t priority, const PriorityShares& shares,
                         const BalancerConfig& config) {
  std::vector<std::vector<uint32_t>> members(hosts.localities.size());
  for (uint32_t host = 0; host < hosts.size(); ++host) {
    members[hosts.locality[host]].push_back(host);
  }
  const bool is_panic = shares.is_panic[priority];
  const bool is_degraded_used = shares.is_degraded_used[priority];
  PriorityLevel level;
  std::vector<uint32_t> together;
  std::vector<double> weights;
  for (size_t i = 0; i < members.size(); ++i) {
    if (hosts.localities[i].priority != priority) continue;
    const std::vector<uint32_t> usable = Usable(hosts, members[i], is_panic, is_degraded_used);
    if (!config.is_locality_weighted) {
      together.insert(together.end(), usable.begin(), usable.end());
      continue;
    }
    if (usable.empty() || hosts.localities[i].weight == 0) continue;
    // effective weight = weight × min(1, 1.4 × available share)
    const double available =
        static_cast<double>(usable.size()) / static_cast<double>(members[i].size());
    weights.push_back(hosts.localities[i].weight *
                      std::min(1.0, config.overprovisioning_percent / 100.0 * available));
    level.groups.push_back(NewSelector(hosts, usable, config));
  }
  if (!together.empty()) level.groups.push_back(NewSelector(hosts, together, config));
  if (level.groups.size() > 1) level.choice = AliasTable(weights);
  return level;
}

bool IsPrime(uint64_t number) {
  if (number < 2) return false;
  for (uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

Status Validate(const HostSet& hosts, const BalancerConfig& config) {
  constexpr uint64_t kRingMax = 8 * 1024 * 1024, kMaglevMax = 5000011;  // Envoy's bounds
  if (config.ring_size_min > config.ring_size_max || config.ring_size_max > kRingMax) {
    return absl::InvalidArgumentError(
        fmt::format("ring hash sizes: minimum_ring_size {} and maximum_ring_size {} must rise and "
                    "stay below {}",
                    config.ring_size_min, config.ring_size_max, kRingMax));
  }
  if (config.policy == Policy::kMaglev &&
      (config.maglev_table_size > kMaglevMax || !IsPrime(config.maglev_table_size))) {
    return absl::InvalidArgumentError(
        fmt::format("maglev table_size {} must be a prime of at most {}", config.maglev_table_size,
                    kMaglevMax));
  }
  if (config.choice_count < 2) {
    return absl::InvalidArgumentError("least request choice_count must be at least 2");
  }
  if (hosts.health.size() != hosts.size() || hosts.locality.size() != hosts.size()) {
    return absl::InternalError("host set: arrays differ in length");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t HashKey(std::string_view key, uint64_t seed) {
  return XXH64(key.data(), key.size(), seed);
}

StatusOr<std::unique_ptr<const Balancer>> Build(const HostSet& hosts,
                                                const BalancerConfig& config) {
  MELTEMI_RETURN_IF_ERROR(Validate(hosts, config));
  PriorityShares shares = SharePriorities(hosts, config);
  std::vector<PriorityLevel> levels;
  for (uint32_t priority = 0; priority < shares.load.size(); ++priority) {
    levels.push_back(BuildLevel(hosts, priority, shares, config));
  }
  return std::make_unique<const LeveledBalancer>(std::move(shares), std::move(levels));
}

}  // namespace meltemi::balance
