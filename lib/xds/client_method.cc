// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "lib/xds/client_wire.h"

namespace meltemi::xds {
namespace {

struct Service {
  std::string_view name;    // "cluster.v3.ClusterDiscoveryService"
  std::string_view plural;  // of its methods
};

// By Type.
constexpr std::array<Service, static_cast<size_t>(Type::kCount)> kServices = {{
    {"cluster.v3.ClusterDiscoveryService", "Clusters"},
    {"endpoint.v3.EndpointDiscoveryService", "Endpoints"},
    {"listener.v3.ListenerDiscoveryService", "Listeners"},
    {"route.v3.RouteDiscoveryService", "Routes"},
    {"secret.v3.SecretDiscoveryService", "Secrets"},
    {"extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"},
    {},  // the name table comes aggregated only
}};
constexpr Service kAggregated = {"discovery.v3.AggregatedDiscoveryService", "AggregatedResources"};

}  // namespace

std::string MethodOf(bool is_incremental, std::optional<Type> only) {
  const Service& service = only ? kServices[static_cast<size_t>(*only)] : kAggregated;
  return fmt::format("/envoy.service.{}/{}{}", service.name, is_incremental ? "Delta" : "Stream",
                     service.plural);
}

}  // namespace meltemi::xds
