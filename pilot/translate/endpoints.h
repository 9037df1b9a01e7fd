// SPDX-License-Identifier: Apache-2.0
// Endpoints of a cluster by locality, for EDS and for clusters that carry them inline. Pure but for
// what is read.
#pragma once

#include "pilot/translate/traffic_policy.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace meltemi::pilot {

// Those of the subset, in the order of localities; the cluster's name must be set by the caller.
void AddEndpoints(Reader& reader, const ProxyFacts& proxy, const OutboundTarget& target,
                  envoy::config::endpoint::v3::ClusterLoadAssignment& to);

}  // namespace meltemi::pilot
