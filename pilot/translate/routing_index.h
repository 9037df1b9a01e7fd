// SPDX-License-Identifier: Apache-2.0
// Which VirtualService speaks for a host: of all that name it the oldest, an exact name before a
// wildcard and a longer wildcard before a shorter one. Points into the list it was made of.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <functional>
#include <map>
#include <string_view>

#include "pilot/policy/policies.h"

namespace meltemi::pilot {

class RoutingIndex final {
 public:
  explicit RoutingIndex(const RoutingList& routings);
  // Index into the list; -1 = none. Wildcards that the host lies under are noted as met.
  int Find(std::string_view host);
  bool is_met(std::string_view wildcard) const { return met_.contains(wildcard); }

 private:
  absl::flat_hash_map<std::string_view, int> exact_;
  // Length of what follows the star → that → index.
  std::map<size_t, absl::flat_hash_map<std::string_view, int>, std::greater<>> wildcards_;
  absl::flat_hash_set<std::string_view> met_;
};

}  // namespace meltemi::pilot
