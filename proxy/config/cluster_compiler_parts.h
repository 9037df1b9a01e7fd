// SPDX-License-Identifier: Apache-2.0
// The parts that a cluster is compiled from: what its connections speak, and over what. Control
// thread only; for the compilers of this folder.
#pragma once

#include <string_view>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "proxy/config/cluster_compiler.h"

namespace meltemi::proxy {

inline constexpr std::string_view kHttpOptionsName =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

Status CompileProtocol(const envoy::config::cluster::v3::Cluster& from, ClusterConfig& to);
// transport_socket and transport_socket_matches. Requires: the protocol was compiled.
Status CompileTransports(const envoy::config::cluster::v3::Cluster& from, ClusterPlan& to);

}  // namespace meltemi::proxy
