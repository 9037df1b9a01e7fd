// SPDX-License-Identifier: Apache-2.0
// How requests spread over priority levels, given the health of their hosts. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/balance/balancer.h"

namespace meltemi::balance {

struct PriorityShares {
  std::vector<uint32_t> load;          // percent per priority
  std::vector<bool> is_panic;          // health is ignored there
  std::vector<bool> is_degraded_used;  // too few healthy hosts anywhere: degraded ones join
};

PriorityShares SharePriorities(const HostSet& hosts, const BalancerConfig& config);

}  // namespace meltemi::balance
