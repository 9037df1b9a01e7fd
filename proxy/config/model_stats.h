// SPDX-License-Identifier: Apache-2.0
// How much configuration is in use, under Envoy's names. Control thread only.
#pragma once

#include "lib/telemetry/metrics.h"
#include "proxy/config/model.h"

namespace meltemi::proxy {

// `model` outlives the registry's last scrape.
void AddModelStats(telemetry::Registry& registry, const Model& model);

}  // namespace meltemi::proxy
