// SPDX-License-Identifier: Apache-2.0
// Measures what the process may run out of, and tells the workers how hard to press each lever.
// Control thread only; workers get copies of the levels.
//
// Invariants:
//  1. A change of levels is told once; equal levels are not told again.
//  2. Each lever's changes are logged at most once per kLogInterval, however often it moves.
//  3. Memory counts only as far as the allocator could not give it back: before a lever is pressed
//     for want of memory, free memory is returned to the kernel (at most once per kTrimInterval).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "lib/runtime/loop.h"
#include "lib/runtime/shared_count.h"
#include "lib/telemetry/metrics.h"
#include "proxy/overload/overload_config.h"
#include "proxy/overload/overload_levels.h"

namespace meltemi::proxy {

class Overload final {
 public:
  static constexpr Duration kLogInterval = std::chrono::minutes(1);
  static constexpr Duration kTrimInterval = std::chrono::seconds(5);
  struct Sources {
    std::shared_ptr<const runtime::SharedCount> connections;  // of all workers
    telemetry::Registry* registry = nullptr;                  // nullptr: nothing is counted
    std::function<void(const OverloadLevels&)> tell;
  };

  Overload(runtime::Loop& loop, OverloadConfig config, Sources sources);
  ~Overload();

 private:
  struct Lever;
  struct Gauges;
  void Refresh();
  // The pressure of each monitor, 0 to 1 and above; one that cannot be read keeps its last.
  void Measure();
  double LevelOf(const OverloadConfig::Lever& lever) const;
  bool PressesForMemory() const;
  void ReturnMemory();
  void Move(Lever& lever, double level);

  runtime::Loop& loop_;
  const OverloadConfig config_;
  const Sources sources_;
  std::unique_ptr<Gauges> gauges_;
  std::vector<double> pressures_;
  std::vector<Lever> levers_;
  OverloadLevels levels_;
  MonotonicTime trimmed_{};
  runtime::Timer timer_;
};

}  // namespace meltemi::proxy
