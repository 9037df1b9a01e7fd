// SPDX-License-Identifier: Apache-2.0
// envoy.config.endpoint.v3 → Assignment. Control thread only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "proxy/upstream/cluster.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace meltemi::proxy {

// An endpoint given by name: each address it resolves to becomes a copy of `like`.
struct NamedEndpoint {
  std::string name;
  uint16_t port = 0;
  Endpoint like;
};

struct CompiledAssignment {
  std::string cluster_name;
  Assignment assignment;
  std::vector<NamedEndpoint> named;  // only where names are allowed (DNS clusters)
};

StatusOr<CompiledAssignment> CompileAssignment(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& from, bool allows_names);
StatusOr<CompiledAssignment> CompileAssignment(std::string_view serialized);

}  // namespace meltemi::proxy
