// SPDX-License-Identifier: Apache-2.0
// The endpoints of one cluster as a balancer sees them: a struct of arrays, indexed by host.
// Immutable once built; addresses and metadata stay with whoever owns the hosts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meltemi::balance {

enum class Health : uint8_t { kHealthy, kDegraded, kUnhealthy };

struct HostSet {
  // One entry per host, all of equal length.
  std::vector<uint32_t> weight;  // at least 1
  std::vector<Health> health;
  std::vector<uint16_t> locality;  // index into localities
  std::vector<std::string>
      hash_key;  // what hashing policies hash: address, hostname or metadata hash_key

  struct Locality {
    uint32_t priority = 0;
    uint32_t weight = 0;  // 0: not chosen when localities are weighted
  };
  std::vector<Locality> localities;

  size_t size() const { return weight.size(); }
};

}  // namespace meltemi::balance
