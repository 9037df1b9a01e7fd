// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/alias_table.h"

namespace meltemi::balance {

AliasTable::AliasTable(std::span<const double> weights) {
  double sum = 0;
  for (double weight : weights) sum += weight;
  if (sum <= 0) return;
  const size_t count = weights.size();
  std::vector<double> scaled(count);
  std::vector<uint32_t> small, large;
  for (uint32_t i = 0; i < count; ++i) {
    scaled[i] = weights[i] * static_cast<double>(count) / sum;
    (scaled[i] < 1.0 ? small : large).push_back(i);
  }
  slots_.resize(count);
  const auto threshold = [](double share) {
    return share >= 1.0 ? UINT64_MAX : static_cast<uint64_t>(share * 18446744073709549568.0);
  };
  while (!small.empty() && !large.empty()) {
    const uint32_t low = small.back();
    const uint32_t high = large.back();
    small.pop_back();
    slots_[low] = {threshold(scaled[low]), low, high};
    // A weight of zero must not be drawn even when the random number is zero.
    if (weights[low] <= 0) slots_[low] = {UINT64_MAX, high, high};
    scaled[high] -= 1.0 - scaled[low];
    if (scaled[high] < 1.0) {
      large.pop_back();
      small.push_back(high);
    }
  }
  // Rounding may leave either list with shares of about one; a zero weight among them points at any
  // other.
  uint32_t heaviest = 0;
  for (uint32_t i = 1; i < count; ++i) {
    if (weights[i] > weights[heaviest]) heaviest = i;
  }
  for (const auto* rest : {&small, &large}) {
    for (uint32_t i : *rest) {
      const uint32_t to = weights[i] > 0 ? i : heaviest;
      slots_[i] = {UINT64_MAX, to, to};
    }
  }
}

}  // namespace meltemi::balance
