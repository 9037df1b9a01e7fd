// SPDX-License-Identifier: Apache-2.0
// The two consistent-hash structures: a ketama-style ring and Maglev's table (Eisenbud et al., NSDI
// 2016). Immutable; values are positions in the span they were built from.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace meltemi::balance {

struct HashTarget {
  std::string_view key;
  double weight;
};

class HashRing final {
 public:
  // The lightest target gets enough points that the ring has at least `size_min`, at most
  // `size_max`.
  HashRing(std::span<const HashTarget> targets, uint64_t size_min, uint64_t size_max);
  bool empty() const { return points_.empty(); }
  uint32_t Find(uint64_t hash) const;
  size_t size() const { return points_.size(); }

 private:
  struct Point {
    uint64_t hash;
    uint32_t target;
  };
  std::vector<Point> points_;
};

class MaglevTable final {
 public:
  MaglevTable(std::span<const HashTarget> targets, uint64_t table_size);
  bool empty() const { return table_.empty(); }
  uint32_t Find(uint64_t hash) const { return table_[hash % table_.size()]; }

 private:
  std::vector<uint32_t> table_;
};

}  // namespace meltemi::balance
