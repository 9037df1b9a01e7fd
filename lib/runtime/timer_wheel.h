// SPDX-License-Identifier: Apache-2.0
// A hierarchical timing wheel (Varghese and Lauck, scheme 7): seven levels of 64 slots, 1 ms ticks.
// Loop-local. An armed timer stands at the level of the highest bit group in which its tick differs
// from the present tick, so every timer of a lower level is due before all of the higher ones.
#pragma once

#include <array>
#include <cstdint>

#include "lib/runtime/loop.h"

namespace meltemi::runtime {

class TimerWheel final {
 public:
  explicit TimerWheel(MonotonicTime origin) : origin_(origin) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void Insert(Timer* timer);
  void Remove(Timer* timer);
  // Runs every timer due at `now`. What a callback arms runs in a later call at the earliest.
  void Advance(MonotonicTime now);

  bool empty() const { return armed_ == 0; }
  // When Advance has something to do next: a timer, or the move of a slot one level down.
  MonotonicTime NextWake() const { return origin_ + NextTick() * kTick; }

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(1);
  static constexpr int kLevelBits = 6;
  static constexpr int kSlots = 1 << kLevelBits;
  static constexpr int kLevels = 7;  // 139 years of milliseconds
  static constexpr int kFiringSlot = kLevels * kSlots;
  static constexpr uint64_t kTickMax = (uint64_t{1} << (kLevelBits * kLevels)) - 1;

  uint64_t DueTick(MonotonicTime deadline) const;
  uint64_t NextTick() const;
  void Place(Timer* timer, uint64_t tick);
  void Link(Timer* timer, int slot);
  void Unlink(Timer* timer);
  void Fire(int slot);
  void Cascade(int slot);

  const MonotonicTime origin_;
  uint64_t tick_ = 0;      // every timer due up to here has run
  uint64_t earliest_ = 1;  // the least tick a newly armed timer may get
  size_t armed_ = 0;
  std::array<uint64_t, kLevels + 1> occupied_{};
  std::array<Timer*, kLevels * kSlots + 1> slots_{};
};

}  // namespace meltemi::runtime
