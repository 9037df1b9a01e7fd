// SPDX-License-Identifier: Apache-2.0
// Weighted choice in constant time (Vose's alias method). Immutable.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace meltemi::balance {

class AliasTable final {
 public:
  AliasTable() = default;
  // Weights of zero are never drawn; all zero makes the table empty.
  explicit AliasTable(std::span<const double> weights);

  bool empty() const { return slots_.empty(); }
  // Requires: !empty(). `random` = 64 uniform bits.
  uint32_t Draw(uint64_t random) const {
    const auto product = static_cast<unsigned __int128>(random) * slots_.size();
    const auto& slot = slots_[static_cast<size_t>(product >> 64)];
    return static_cast<uint64_t>(product) <= slot.threshold ? slot.first : slot.second;
  }

 private:
  struct Slot {
    uint64_t threshold;
    uint32_t first, second;
  };
  std::vector<Slot> slots_;
};

}  // namespace meltemi::balance
