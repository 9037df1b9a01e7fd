// SPDX-License-Identifier: Apache-2.0
// What the bootstrap's node metadata tells of this workload, for metrics and identities. Pure.
#pragma once

#include <string>
#include <string_view>

namespace meltemi::proxy {

struct NodeFacts {
  std::string workload, workload_namespace, cluster, app, version;
  std::string canonical_service, canonical_revision;
  std::string identity_path;  // "/ns/x/sa/y", "" without a service account
};

// Metadata that is no JSON object gives empty facts.
NodeFacts ParseNode(const std::string& metadata_json);

}  // namespace meltemi::proxy
