// SPDX-License-Identifier: Apache-2.0
// Envoy's overload_manager as compiled: what is measured, and what is done when it runs short.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"

namespace meltemi::proxy {

enum class OverloadLever : uint8_t {
#define MELTEMI_OVERLOAD_ACTION(id, name) id,
#define MELTEMI_LOAD_SHED_POINT(id, name) id,
#include "proxy/overload/overload_levers.def"
#undef MELTEMI_OVERLOAD_ACTION
#undef MELTEMI_LOAD_SHED_POINT
  kCount
};
inline constexpr size_t kOverloadLevers = static_cast<size_t>(OverloadLever::kCount);
std::string_view OverloadLeverName(OverloadLever lever);  // Envoy's, in full
bool IsLoadShedPoint(OverloadLever lever);

enum class ScaledTimer : uint8_t {
  kConnectionIdle,
  kStreamIdle,
  kTransportConnect,
  kConnectionMax,
  kCount
};

// The timers that reduce_timeouts shortens, each down to a least value or share of its own.
class ScaledTimers final {
 public:
  void Set(ScaledTimer timer, Duration least) { rules_[Index(timer)] = {true, least, 0}; }
  void SetShare(ScaledTimer timer, double share) { rules_[Index(timer)] = {true, {}, share}; }
  bool has(ScaledTimer timer) const { return rules_[Index(timer)].is_used; }
  Duration At(ScaledTimer timer, Duration full, double level) const {
    const Rule& rule = rules_[Index(timer)];
    if (!rule.is_used) return full;
    const auto share = std::chrono::duration_cast<Duration>(full * rule.least_share);
    const Duration least = std::min(full, std::max(rule.least, share));
    return least + std::chrono::duration_cast<Duration>((full - least) * (1 - level));
  }

 private:
  struct Rule {
    bool is_used = false;
    Duration least{};
    double least_share = 0;
  };
  static constexpr size_t Index(ScaledTimer timer) { return static_cast<size_t>(timer); }
  std::array<Rule, static_cast<size_t>(ScaledTimer::kCount)> rules_{};
};

struct OverloadMonitor {
  enum class Kind : uint8_t {
    kFixedHeap,              // anonymous memory of the process against `limit`
    kCgroupMemory,           // of the control group, against its own limit or `limit`
    kInjected,               // a number from 0 to 1 in the file `path`, for tests
    kDownstreamConnections,  // open ones against `limit`, which also refuses those beyond it
  };
  Kind kind = Kind::kFixedHeap;
  std::string name;
  uint64_t limit = 0;
  std::string path;
};

// Presses not at all up to `scaling`, in full from `saturation` on; equal for a plain threshold.
struct OverloadTrigger {
  size_t monitor = 0;
  double scaling = 1, saturation = 1;
  double Level(double pressure) const {
    if (pressure >= saturation) return 1;
    if (pressure <= scaling) return 0;
    return (pressure - scaling) / (saturation - scaling);
  }
};

struct OverloadConfig {
  struct Lever {
    OverloadLever lever;
    std::vector<OverloadTrigger> triggers;  // the strongest counts
  };
  Duration refresh_interval = std::chrono::seconds(1);
  std::vector<OverloadMonitor> monitors;
  std::vector<Lever> levers;
  std::shared_ptr<const ScaledTimers> timers;
  uint64_t connections_max = 0;  // global_downstream_max_connections; 0 = none
};

}  // namespace meltemi::proxy
