// SPDX-License-Identifier: Apache-2.0
// Labels and what selects by them. Pure.
#pragma once

#include <map>
#include <string>

namespace meltemi::pilot {

using Labels = std::map<std::string, std::string>;

// Whether every pair of the selector is among the labels; an empty selector takes everything.
template <typename Selector>
bool Selects(const Selector& selector, const Labels& labels) {
  for (const auto& [key, value] : selector) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace meltemi::pilot
