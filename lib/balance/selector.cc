// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/selector.h"

#include <algorithm>

#include "lib/balance/hash_tables.h"

namespace meltemi::balance {
namespace {

uint32_t Below(uint64_t random, size_t bound) {
  return static_cast<uint32_t>((static_cast<unsigned __int128>(random) * bound) >> 64);
}

// Members with their weights; an alias table only when weights differ.
class WeightedMembers final {
 public:
  WeightedMembers(const HostSet& hosts, std::vector<uint32_t> members)
      : members_(std::move(members)) {
    std::vector<double> weights;
    for (uint32_t host : members_) weights.push_back(hosts.weight[host]);
    is_equal_ =
        std::adjacent_find(weights.begin(), weights.end(), std::not_equal_to<>()) == weights.end();
    if (!is_equal_) alias_ = AliasTable(weights);
  }
  bool is_equal() const { return is_equal_; }
  const std::vector<uint32_t>& members() const { return members_; }
  size_t Draw(uint64_t random) const {
    return is_equal_ ? Below(random, members_.size()) : alias_.Draw(random);
  }

 private:
  std::vector<uint32_t> members_;
  AliasTable alias_;
  bool is_equal_ = true;
};

class RandomSelector final : public Selector {
 public:
  RandomSelector(const HostSet& hosts, std::vector<uint32_t> members)
      : members_(hosts, std::move(members)) {}
  uint32_t Select(uint64_t, PickState& state) const override {
    return members_.members()[members_.Draw(state.Random())];
  }

 private:
  const WeightedMembers members_;
};

// Equal weights: cyclic. Otherwise a static stride: in generation g of a walk over the members,
// member i is taken when (w·g) mod M < w, which spreads w of every M generations evenly without
// shared state (gRPC proposal A58 describes the scheduler).
class RoundRobinSelector final : public Selector {
 public:
  RoundRobinSelector(const HostSet& hosts, const std::vector<uint32_t>& members)
      : members_(members) {
    uint32_t heaviest = 1;
    for (uint32_t host : members) heaviest = std::max(heaviest, hosts.weight[host]);
    bool is_equal = true;
    for (uint32_t host : members) {
      is_equal = is_equal && hosts.weight[host] == hosts.weight[members[0]];
      const uint64_t scaled = uint64_t{hosts.weight[host]} * kScale / heaviest;
      weights_.push_back(static_cast<uint32_t>(std::max<uint64_t>(1, scaled)));
    }
    if (is_equal) weights_.clear();
  }
  uint32_t Select(uint64_t, PickState& state) const override {
    const size_t count = members_.size();
    if (weights_.empty()) return members_[state.cursor++ % count];
    // Ends: the heaviest member is taken in every generation.
    for (;;) {
      const uint64_t at = state.cursor % count;
      const uint64_t generation = state.cursor / count;
      ++state.cursor;
      const uint64_t weight = weights_[at];
      // An offset per member keeps members of equal weight from coming in bursts.
      const uint64_t phase = (weight * (generation % kScale) + at * (kScale / 2)) % kScale;
      if (phase >= kScale - weight) return members_[at];
    }
  }

 private:
  static constexpr uint64_t kScale = 65536;
  const std::vector<uint32_t> members_;
  std::vector<uint32_t> weights_;  // empty when equal
};

// The better of `choices` drawn by weight: fewest active requests per weight.
class LeastRequestSelector final : public Selector {
 public:
  LeastRequestSelector(const HostSet& hosts, const std::vector<uint32_t>& members, uint32_t choices)
      : members_(hosts, members), choices_(choices) {
    for (uint32_t host : members) weights_.push_back(hosts.weight[host]);
  }
  uint32_t Select(uint64_t, PickState& state) const override {
    const auto& members = members_.members();
    if (members.size() == 1) return members[0];
    size_t best = members_.Draw(state.Random());
    for (uint32_t i = 1; i < choices_; ++i) {
      size_t other = members_.Draw(state.Random());
      // With equal weights a second draw of the same host is no choice: take its neighbour.
      if (other == best && members_.is_equal()) other = (other + 1) % members.size();
      const uint64_t load_best = uint64_t{state.active(members[best])} * weights_[other];
      const uint64_t load_other = uint64_t{state.active(members[other])} * weights_[best];
      if (load_other < load_best) best = other;
    }
    return members[best];
  }

 private:
  const WeightedMembers members_;
  const uint32_t choices_;
  std::vector<uint32_t> weights_;
};

template <typename Table>
class HashSelector final : public Selector {
 public:
  HashSelector(std::vector<uint32_t> members, Table table)
      : members_(std::move(members)), table_(std::move(table)) {}
  uint32_t Select(uint64_t hash, PickState&) const override { return members_[table_.Find(hash)]; }

 private:
  const std::vector<uint32_t> members_;
  const Table table_;
};

std::vector<HashTarget> Targets(const HostSet& hosts, const std::vector<uint32_t>& members) {
  std::vector<HashTarget> targets;
  for (uint32_t host : members) {
    targets.push_back({hosts.hash_key[host], static_cast<double>(hosts.weight[host])});
  }
  return targets;
}

}  // namespace

std::unique_ptr<const Selector> NewSelector(const HostSet& hosts,
                                            const std::vector<uint32_t>& members,
                                            const BalancerConfig& config) {
  switch (config.policy) {
    case Policy::kLeastRequest:
      return std::make_unique<LeastRequestSelector>(hosts, members, config.choice_count);
    case Policy::kRandom:
      return std::make_unique<RandomSelector>(hosts, members);
    case Policy::kRingHash:
      return std::make_unique<HashSelector<HashRing>>(
          members, HashRing(Targets(hosts, members), config.ring_size_min, config.ring_size_max));
    case Policy::kMaglev:
      return std::make_unique<HashSelector<MaglevTable>>(
          members, MaglevTable(Targets(hosts, members), config.maglev_table_size));
    case Policy::kRoundRobin:
      break;
  }
  return std::make_unique<RoundRobinSelector>(hosts, members);
}

}  // namespace meltemi::balance
