// SPDX-License-Identifier: Apache-2.0
// tcp.<stat_prefix>.*, by Envoy's names. Immutable, shared by the workers; each records with its
// own recorder.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "lib/telemetry/metrics.h"

namespace meltemi::proxy {

class Worker;

enum class TcpCounter : uint8_t {
  kTotal,
  kNoRoute,
  kReceived,
  kSent,
  kIdleTimeout,
  kDurationMax,
  kCount
};

class TcpCounters final {
 public:
  // `registry` may be nullptr: nothing is counted then.
  TcpCounters(telemetry::Registry* registry, std::string prefix);
  void Count(Worker& worker, TcpCounter counter, uint64_t amount = 1) const;

 private:
  const std::string prefix_;
  std::array<telemetry::Family*, static_cast<size_t>(TcpCounter::kCount)> families_{};
};

}  // namespace meltemi::proxy
