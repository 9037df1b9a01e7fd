// SPDX-License-Identifier: Apache-2.0
// Lists by key of what objects contribute, kept as inputs of the graph: a batch of changes sets
// each list it touched once, and a contribution that compares equal to the one before touches
// nothing. Model-thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "lib/base/clock.h"
#include "pilot/graph/collection.h"

namespace meltemi::pilot {

// Where an item stands in its lists, and by what it is found again.
struct Place {
  WallTime created{};
  std::string first, second;  // namespace and name, or host and namespace
  auto operator<=>(const Place&) const = default;
};

template <typename K, typename T>
class Listing final {
 public:
  using Item = std::shared_ptr<const T>;
  using List = std::vector<Item>;
  Listing(Graph& graph, std::string name) : input_(graph, std::move(name)) {}

  std::shared_ptr<const List> Get(const K& key) {
    auto list = input_.Get(key);
    static const auto empty = std::make_shared<const List>();
    return list == nullptr ? empty : list;
  }
  void Put(const K& key, const Place& place, Item item) {
    Item& held = held_[key][place];
    if (IsSameValue<T>(held, item)) return;
    held = std::move(item);
    dirty_.insert(key);
  }
  void Remove(const K& key, const Place& place) {
    const auto list = held_.find(key);
    if (list == held_.end() || list->second.erase(place) == 0) return;
    dirty_.insert(key);
    if (list->second.empty()) held_.erase(list);
  }
  void Flush() {
    for (const K& key : dirty_) {
      const auto list = held_.find(key);
      if (list == held_.end()) {
        input_.Set(key, nullptr);
        continue;
      }
      auto value = std::make_shared<List>();
      value->reserve(list->second.size());
      for (const auto& [place, item] : list->second) value->push_back(item);
      input_.Set(key, std::move(value));
    }
    dirty_.clear();
  }

 private:
  Input<K, List> input_;
  absl::flat_hash_map<K, std::map<Place, Item>> held_;
  absl::flat_hash_set<K> dirty_;
};

}  // namespace meltemi::pilot
