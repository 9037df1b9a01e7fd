// SPDX-License-Identifier: Apache-2.0
// Load balancing as pure code: which host of a set takes the next request. A Balancer is immutable
// and shared by all workers; what changes between picks is in the caller's PickState.
//
// A pick descends priority → locality → host. Rules are Envoy's: a priority takes 140 % of its
// healthy share, the rest spills to the next; below the panic threshold health is ignored
// (data-plane semantics of envoy.config.cluster.v3).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "lib/balance/host_set.h"
#include "lib/base/status.h"

namespace meltemi::balance {

enum class Policy : uint8_t { kRoundRobin, kLeastRequest, kRandom, kRingHash, kMaglev };

struct BalancerConfig {
  Policy policy = Policy::kRoundRobin;
  uint32_t choice_count = 2;      // least request
  uint64_t ring_size_min = 1024;  // ring hash
  uint64_t ring_size_max = 8 * 1024 * 1024;
  uint64_t maglev_table_size = 65537;   // prime
  double panic_threshold_percent = 50;  // 0 = never
  uint32_t overprovisioning_percent = 140;
  bool is_locality_weighted = false;
};

// xxHash64 of a key, the hash that route hash policies and rings share.
uint64_t HashKey(std::string_view key, uint64_t seed = 0);

struct PickKey {
  uint64_t hash = 0;
  bool has_hash = false;  // false: hashing policies take a random one
};

// Worker-local. `Random` gives 64 uniform bits; `active` counts requests under way per host.
class PickState {
 public:
  virtual uint64_t Random() = 0;
  virtual uint32_t active(uint32_t host) const = 0;
  uint64_t cursor =
      0;  // round robin's place; start it at random, so that workers do not march in step

 protected:
  ~PickState() = default;
};

inline constexpr uint32_t kNoHost = UINT32_MAX;

class Balancer {
 public:
  virtual ~Balancer() = default;
  // Index of a host, kNoHost when none may be used.
  virtual uint32_t Pick(const PickKey& key, PickState& state) const = 0;
  // Share of requests a priority gets, in percent; they sum to 100 or, with no usable host, to 0.
  virtual std::span<const uint32_t> priority_loads() const = 0;
  virtual bool is_in_panic(uint32_t priority) const = 0;
};

// Refuses parameters outside Envoy's ranges; an empty host set is legal.
StatusOr<std::unique_ptr<const Balancer>> Build(const HostSet& hosts, const BalancerConfig& config);

}  // namespace meltemi::balance
