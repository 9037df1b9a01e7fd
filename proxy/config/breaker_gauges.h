// SPDX-License-Identifier: Apache-2.0
// The state of circuit breakers by Envoy's names, taken when somebody looks. Control thread only.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "lib/telemetry/stat_group.h"
#include "proxy/upstream/breaker_count.h"
#include "proxy/upstream/cluster.h"

namespace meltemi::proxy {

class BreakerGauges final {
 public:
  explicit BreakerGauges(telemetry::Registry& registry);
  void Set(std::string_view cluster, const Breakers& limits, const SharedBreakers& counts);

 private:
  telemetry::StatFamilies families_;
  telemetry::Recorder recorder_;
  std::set<std::string, std::less<>> seen_;  // those that had one open: the others have no series
};

}  // namespace meltemi::proxy
