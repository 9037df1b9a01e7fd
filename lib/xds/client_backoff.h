// SPDX-License-Identifier: Apache-2.0
// Waits between attempts: doubled up to a limit, with jitter so that many clients that lost the
// same server do not come back together. Not thread-safe.
#pragma once

#include <algorithm>

#include "lib/base/clock.h"

namespace meltemi::xds {

class ClientBackoff final {
 public:
  ClientBackoff(Duration min, Duration max) : min_(min), max_(max), next_(min) {}

  // Between half and all of the present step. `random` in [0, 1).
  Duration Next(double random) {
    const Duration step = next_;
    next_ = std::min(max_, next_ * 2);
    const auto half = static_cast<double>(step.count()) / 2;
    return Duration(static_cast<Duration::rep>(half + half * random));
  }
  void Reset() { next_ = min_; }

 private:
  const Duration min_, max_;
  Duration next_;
};

}  // namespace meltemi::xds
