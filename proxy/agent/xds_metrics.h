// SPDX-License-Identifier: Apache-2.0
// What a proxy shows of its xDS streams. Control thread only.
#pragma once

#include <functional>

#include "lib/telemetry/metrics.h"
#include "lib/xds/client.h"

namespace meltemi::proxy {

struct XdsState {
  bool is_connected = false;  // every source answers
  xds::ClientCounters counters;
};

// `state` is asked at each scrape; what it refers to outlives the registry's last scrape.
void AddXdsMetrics(telemetry::Registry& registry, std::function<XdsState()> state);

}  // namespace meltemi::proxy
