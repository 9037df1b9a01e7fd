// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/routing_index.h"

#include <string>

namespace meltemi::pilot {

RoutingIndex::RoutingIndex(const RoutingList& routings) {
  for (size_t i = 0; i < routings.size(); ++i) {
    for (const std::string& host : routings[i]->spec.hosts()) {
      const std::string_view name = host;
      if (name.starts_with('*')) {
        wildcards_[name.size() - 1].emplace(name.substr(1), static_cast<int>(i));
      } else {
        exact_.emplace(name, static_cast<int>(i));
      }
    }
  }
}

int RoutingIndex::Find(std::string_view host) {
  const auto exact = exact_.find(host);
  int found = exact == exact_.end() ? -1 : exact->second;
  if (host.starts_with('*')) host.remove_prefix(1);
  for (const auto& [length, suffixes] : wildcards_) {
    if (length > host.size()) continue;
    const auto wildcard = suffixes.find(host.substr(host.size() - length));
    if (wildcard == suffixes.end()) continue;
    met_.insert(wildcard->first);
    if (found < 0) found = wildcard->second;
  }
  return found;
}

}  // namespace meltemi::pilot
