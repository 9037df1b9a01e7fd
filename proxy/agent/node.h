// SPDX-License-Identifier: Apache-2.0
// Who this proxy says it is, in Istio's terms. Pure.
#pragma once

#include <string>
#include <string_view>

#include "proxy/agent/options.h"

namespace meltemi::proxy {

struct NodeIdentity {
  std::string id;       // "sidecar~127.77.0.5~reviews-v1-abc.default~default.svc.cluster.local"
  std::string cluster;  // "reviews.default"
  std::string metadata_json;
  std::string serialized;  // envoy.config.core.v3.Node
};

NodeIdentity MakeNode(const WorkloadOptions& options);

// A Pod's name without what a ReplicaSet and a Pod add: "reviews-v1-5d4f7c6bbc-x7k2p" →
// "reviews-v1". A name that does not end so is its own workload.
std::string WorkloadName(std::string_view pod_name);

}  // namespace meltemi::proxy
