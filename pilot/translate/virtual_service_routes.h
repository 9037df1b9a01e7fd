// SPDX-License-Identifier: Apache-2.0
// A VirtualService's HTTP part as Envoy's routes; the same for sidecars and gateways. Pure but for
// what is read: services that routes lead to, and their DestinationRules.
#pragma once

#include <string>
#include <vector>

#include "pilot/translate/reader.h"

namespace envoy::config::route::v3 {
class VirtualHost;
class Route;
}  // namespace envoy::config::route::v3

namespace meltemi::pilot {

// Where routes will stand. What of a match only depends on this is decided here, not by the proxy.
struct RouteScope {
  const ProxyFacts& proxy;
  std::vector<std::string> gateways;  // "mesh", or the "NS/NAME" of the server's Gateways
  uint32_t port = 0;                  // the service port, or the Gateway server's
  bool is_tls = false;                // the listener ends TLS
};

// "mesh" and "NS/NAME" stay, "NAME" becomes "NS/NAME" of `ns`.
std::string FullGatewayName(const std::string& name, const std::string& ns);
// Do source labels, namespace and gateways of a match (HTTP, TLS or TCP) allow the scope?
template <typename Match>
bool IsSourceMatched(const RouteScope& scope, const std::string& ns, const Match& match);

// Appends routes in order, up to the first that takes everything. Nothing is appended when no
// match applies here.
void AddVirtualServiceRoutes(Reader& reader, const RouteScope& scope, const Routing& routing,
                             envoy::config::route::v3::VirtualHost& host);
// Does the route take every request?
bool IsCatchAll(const envoy::config::route::v3::Route& route);

// The route of a service that no VirtualService speaks about.
void AddDefaultRoute(Reader& reader, const ProxyFacts& proxy, const Service& service, uint32_t port,
                     envoy::config::route::v3::VirtualHost& host);

// "outbound|9080|v1|reviews.default.svc.cluster.local": the port is the one written, else the
// service's only one, else the listener's.
std::string DestinationCluster(Reader& reader, const std::string& ns,
                               const istio::networking::v1::Destination& destination,
                               uint32_t listener_port);

template <typename Match>
bool IsSourceMatched(const RouteScope& scope, const std::string& ns, const Match& match) {
  // Gateways named by a match take the place of conditions on the source, as in Istio.
  if (match.gateways_size() > 0) {
    for (const std::string& name : match.gateways()) {
      const std::string full = FullGatewayName(name, ns);
      for (const std::string& gateway : scope.gateways) {
        if (gateway == full) return true;
      }
    }
    return false;
  }
  if (!match.source_namespace().empty() && match.source_namespace() != scope.proxy.ns) return false;
  for (const auto& [key, value] : match.source_labels()) {
    const auto found = scope.proxy.labels.find(key);
    if (found == scope.proxy.labels.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace meltemi::pilot
