// SPDX-License-Identifier: Apache-2.0
// How hard each of the overload actions and load-shed points presses now: 0 = not at all, 1 = in
// full, between them that share of what it may act on. A plain value: the control thread computes
// it (overload.h), each worker has a copy of its own and reads it without locks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "proxy/overload/overload_config.h"

namespace meltemi::proxy {

class OverloadLevels final {
 public:
  OverloadLevels() = default;
  explicit OverloadLevels(std::shared_ptr<const ScaledTimers> timers)
      : timers_(std::move(timers)) {}

  // The one question of the path of a request; the others only matter where it says yes.
  bool is_any() const { return is_any_; }
  double of(OverloadLever lever) const { return levels_[static_cast<size_t>(lever)]; }
  bool is_full(OverloadLever lever) const { return of(lever) >= 1; }
  // `random` is anything with Below(bound).
  template <typename Source>
  bool Chooses(OverloadLever lever, Source& random) const {
    constexpr uint64_t kScale = uint64_t{1} << 32;
    const double level = of(lever);
    if (level <= 0) return false;
    return level >= 1 || static_cast<double>(random.Below(kScale)) < level * kScale;
  }
  // A time as it is under pressure; 0 (none) stays 0.
  Duration Scaled(ScaledTimer timer, Duration full) const {
    if (!is_any_ || timers_ == nullptr || full <= Duration(0)) return full;
    return timers_->At(timer, full, of(OverloadLever::kReduceTimeouts));
  }

  void Set(OverloadLever lever, double level) {
    levels_[static_cast<size_t>(lever)] = level;
    is_any_ = false;
    for (const double one : levels_) is_any_ = is_any_ || one > 0;
  }
  bool operator==(const OverloadLevels& other) const { return levels_ == other.levels_; }

 private:
  std::array<double, kOverloadLevers> levels_{};
  std::shared_ptr<const ScaledTimers> timers_;
  bool is_any_ = false;
};

}  // namespace meltemi::proxy
