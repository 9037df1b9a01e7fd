// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace meltemi::runtime {

uint64_t TimerWheel::DueTick(MonotonicTime deadline) const {
  if (deadline <= origin_) return 0;
  // Rounded up: never early.
  const auto since = static_cast<uint64_t>((deadline - origin_ + kTick - Duration(1)) / kTick);
  return std::min(since, kTickMax);
}

void TimerWheel::Insert(Timer* timer) {
  if (timer->slot_ >= 0) Remove(timer);
  Place(timer, std::max(DueTick(timer->deadline_), earliest_));
  ++armed_;
}

void TimerWheel::Remove(Timer* timer) {
  Unlink(timer);
  --armed_;
}

void TimerWheel::Place(Timer* timer, uint64_t tick) {
  const uint64_t differing = (tick ^ tick_) | 1;
  const int top_bit = 63 - std::countl_zero(differing);
  const int level = std::min(top_bit / kLevelBits, kLevels - 1);
  const int index = static_cast<int>(tick >> (level * kLevelBits)) & (kSlots - 1);
  Link(timer, level * kSlots + index);
}

void TimerWheel::Link(Timer* timer, int slot) {
  timer->slot_ = slot;
  timer->previous_ = nullptr;
  timer->next_ = slots_[slot];
  if (timer->next_ != nullptr) timer->next_->previous_ = timer;
  slots_[slot] = timer;
  occupied_[slot / kSlots] |= uint64_t{1} << (slot % kSlots);
}

void TimerWheel::Unlink(Timer* timer) {
  const int slot = timer->slot_;
  if (timer->previous_ != nullptr) {
    timer->previous_->next_ = timer->next_;
  } else {
    slots_[slot] = timer->next_;
  }
  if (timer->next_ != nullptr) timer->next_->previous_ = timer->previous_;
  if (slots_[slot] == nullptr) occupied_[slot / kSlots] &= ~(uint64_t{1} << (slot % kSlots));
  timer->next_ = timer->previous_ = nullptr;
  timer->slot_ = -1;
}

uint64_t TimerWheel::NextTick() const {
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const int shift = level * kLevelBits;
    const auto slot = static_cast<uint64_t>(std::countr_zero(occupied_[level]));
    const uint64_t above = tick_ >> (shift + kLevelBits) << (shift + kLevelBits);
    return above | slot << shift;
  }
  return kTickMax;
}

void TimerWheel::Advance(MonotonicTime now) {
  const auto target = static_cast<uint64_t>(std::max((now - origin_) / kTick, Duration::rep{0}));
  if (target <= tick_) return;
  earliest_ = target + 1;
  while (armed_ > 0) {
    const uint64_t next = NextTick();
    if (next > target) break;
    tick_ = next;
    for (int level = 0; level < kLevels; ++level) {
      if (occupied_[level] == 0) continue;
      const int slot = level * kSlots + std::countr_zero(occupied_[level]);
      if (level == 0) {
        Fire(slot);
      } else {
        Cascade(slot);
      }
      break;
    }
  }
  tick_ = target;
}

void TimerWheel::Cascade(int slot) {
  Timer* timer = std::exchange(slots_[slot], nullptr);
  occupied_[slot / kSlots] &= ~(uint64_t{1} << (slot % kSlots));
  while (timer != nullptr) {
    Timer* next = timer->next_;
    Place(timer, std::max(DueTick(timer->deadline_), tick_));
    timer = next;
  }
}

void TimerWheel::Fire(int slot) {
  // Moved to a list of its own, in the order of arming, so that callbacks may arm and disarm
  // anything.
  while (slots_[slot] != nullptr) {
    Timer* timer = slots_[slot];
    Unlink(timer);
    Link(timer, kFiringSlot);
  }
  while (Timer* timer = slots_[kFiringSlot]) {
    Remove(timer);
    bool destroyed = false;
    timer->destroyed_ = &destroyed;
    auto callback = std::move(timer->callback_);
    callback();
    if (destroyed) continue;
    timer->destroyed_ = nullptr;
    timer->callback_ = std::move(callback);
  }
}

}  // namespace meltemi::runtime
