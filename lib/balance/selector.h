// SPDX-License-Identifier: Apache-2.0
// The last step of a pick: one of a group of usable hosts. Immutable; a new policy is a class in
// selector.cc and a line in NewSelector.
#pragma once

#include <memory>
#include <vector>

#include "lib/balance/alias_table.h"
#include "lib/balance/balancer.h"

namespace meltemi::balance {

class Selector {
 public:
  virtual ~Selector() = default;
  virtual uint32_t Select(uint64_t hash, PickState& state) const = 0;
};

// Requires: `members` not empty, indices into `hosts`.
std::unique_ptr<const Selector> NewSelector(const HostSet& hosts,
                                            const std::vector<uint32_t>& members,
                                            const BalancerConfig& config);

}  // namespace meltemi::balance
