// SPDX-License-Identifier: Apache-2.0
// From what the mesh says to Envoy's messages: the functions the graph calls, one per resource
// type. Pure but for what they read; model thread only. Names and shapes are Istio's
// (istio-control-plane.md §2).
//
// Each Names function gives the resources a class of proxies holds, each Build function one of
// them. Build returns nullptr for a name that does not exist (any more).
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pilot/translate/reader.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::listener::v3 {
class Listener;
}
namespace envoy::config::route::v3 {
class RouteConfiguration;
}
namespace istio::networking::nds::v1 {
class NameTable;
}

namespace meltemi::pilot {

using Names = std::vector<std::string>;  // sorted

Names ClusterNames(Reader& reader, const ProxyFacts& proxy);
std::unique_ptr<envoy::config::cluster::v3::Cluster> BuildCluster(Reader& reader,
                                                                  const ProxyFacts& proxy,
                                                                  const std::string& name);
// For any outbound cluster's name; nullptr when the service or port does not exist.
std::unique_ptr<envoy::config::endpoint::v3::ClusterLoadAssignment> BuildEndpoints(
    Reader& reader, const ProxyFacts& proxy, const std::string& cluster_name);

Names ListenerNames(Reader& reader, const ProxyFacts& proxy);
std::unique_ptr<envoy::config::listener::v3::Listener> BuildListener(Reader& reader,
                                                                     const ProxyFacts& proxy,
                                                                     const std::string& name);

// Names of routes that listeners of the proxy refer to; any other name may be asked for too and
// gets an empty configuration of that name, as in Istio.
std::unique_ptr<envoy::config::route::v3::RouteConfiguration> BuildRoutes(Reader& reader,
                                                                          const ProxyFacts& proxy,
                                                                          const std::string& name);

std::unique_ptr<istio::networking::nds::v1::NameTable> BuildNameTable(Reader& reader,
                                                                      const ProxyFacts& proxy);

}  // namespace meltemi::pilot
