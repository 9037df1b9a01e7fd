// SPDX-License-Identifier: Apache-2.0
// Time types, and the clock as a dependency so that tests can hold time still.
#pragma once

#include <chrono>

namespace meltemi {

using Duration = std::chrono::nanoseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Thread-safe. The real one is RealClock(); tests use FakeClock (lib/base/testing/fake_clock.h).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Monotonic() const = 0;
  virtual WallTime Wall() const = 0;
};

const Clock& RealClock();

}  // namespace meltemi
