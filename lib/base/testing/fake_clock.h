// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/clock.h"

namespace meltemi {

// Stands still until told to move.
class FakeClock final : public Clock {
 public:
  MonotonicTime Monotonic() const override { return MonotonicTime(elapsed_); }
  WallTime Wall() const override {
    return WallTime(std::chrono::duration_cast<WallTime::duration>(elapsed_));
  }
  void Advance(Duration by) { elapsed_ += by; }

 private:
  Duration elapsed_ = std::chrono::hours(24 * 365 * 56);  // a date in 2026
};

}  // namespace meltemi
