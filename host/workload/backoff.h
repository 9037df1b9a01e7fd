// SPDX-License-Identifier: Apache-2.0
// How long to wait before starting something again that ended: Kubernetes' doubling, scaled to a
// laptop.
#pragma once

#include <algorithm>

#include "lib/base/clock.h"

namespace meltemi::host {

inline constexpr Duration kBackoffFirst = std::chrono::milliseconds(500);  // Kubernetes: 10 s
inline constexpr Duration kBackoffMax = std::chrono::seconds(30);          // Kubernetes: 5 min
// What ran this long without ending starts over at the first wait.
inline constexpr Duration kBackoffForgotten = std::chrono::seconds(60);

class Backoff final {
 public:
  // The wait after something that started at `started` ended at `now`.
  Duration Next(MonotonicTime started, MonotonicTime now) {
    if (now - started >= kBackoffForgotten) next_ = kBackoffFirst;
    const Duration wait = next_;
    next_ = std::min(next_ * 2, kBackoffMax);
    return wait;
  }

 private:
  Duration next_ = kBackoffFirst;
};

}  // namespace meltemi::host
