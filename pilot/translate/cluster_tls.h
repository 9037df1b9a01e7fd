// SPDX-License-Identifier: Apache-2.0
// TLS towards a cluster: by DestinationRule, or automatic mutual TLS where endpoints announce it
// (istio-control-plane.md §2.8). Pure but for what is read.
#pragma once

#include "pilot/translate/cluster_policy.h"
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {

// Sets the transport sockets of `cluster`, whose discovery type must be set, and the part of
// `http` that TLS decides.
void SetClientTls(Reader& reader, const ProxyFacts& proxy, const OutboundTarget& target,
                  const ClusterName& name, HttpSettings& http,
                  envoy::config::cluster::v3::Cluster& cluster);

}  // namespace meltemi::pilot
