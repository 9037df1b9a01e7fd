// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/hash_tables.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "lib/balance/balancer.h"

namespace meltemi::balance {

HashRing::HashRing(std::span<const HashTarget> targets, uint64_t size_min, uint64_t size_max) {
  double sum = 0;
  for (const HashTarget& target : targets) sum += target.weight;
  if (sum <= 0) return;
  double lightest = 1;
  for (const HashTarget& target : targets) lightest = std::min(lightest, target.weight / sum);
  // Scale so that the lightest target has whole points, as Envoy does.
  const double scale = std::min(std::ceil(lightest * static_cast<double>(size_min)) / lightest,
                                static_cast<double>(size_max));
  points_.reserve(static_cast<size_t>(std::ceil(scale)));
  double reached = 0, wanted = 0;
  std::string text;
  for (uint32_t i = 0; i < targets.size(); ++i) {
    wanted += scale * targets[i].weight / sum;
    for (uint64_t replica = 0; reached < wanted; ++replica, ++reached) {
      text.assign(targets[i].key).append("_").append(std::to_string(replica));
      points_.push_back({HashKey(text), i});
    }
  }
  std::sort(points_.begin(), points_.end(), [](const Point& a, const Point& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.target < b.target;
  });
}

uint32_t HashRing::Find(uint64_t hash) const {
  auto at = std::lower_bound(points_.begin(), points_.end(), hash,
                             [](const Point& point, uint64_t value) { return point.hash < value; });
  return at == points_.end() ? points_.front().target : at->target;
}

MaglevTable::MaglevTable(std::span<const HashTarget> targets, uint64_t table_size) {
  struct Walk {
    uint64_t offset, skip, next = 0;
    double weight, credit = 0;
  };
  double heaviest = 0;
  for (const HashTarget& target : targets) heaviest = std::max(heaviest, target.weight);
  if (heaviest <= 0) return;
  std::vector<Walk> walks;
  walks.reserve(targets.size());
  for (const HashTarget& target : targets) {
    walks.push_back({.offset = HashKey(target.key) % table_size,
                     .skip = HashKey(target.key, 1) % (table_size - 1) + 1,
                     .weight = target.weight});
  }
  table_.assign(table_size, UINT32_MAX);
  for (uint64_t filled = 0, round = 1; filled < table_size; ++round) {
    for (uint32_t i = 0; i < walks.size() && filled < table_size; ++i) {
      Walk& walk = walks[i];
      // Lighter targets sit rounds out, so that slots follow weight.
      if (static_cast<double>(round) * walk.weight < walk.credit || walk.weight <= 0) continue;
      walk.credit += heaviest;
      uint64_t slot;
      do {
        slot = (walk.offset + walk.skip * walk.next++) % table_size;
      } while (table_[slot] != UINT32_MAX);
      table_[slot] = i;
      ++filled;
    }
  }
}

}  // namespace meltemi::balance
