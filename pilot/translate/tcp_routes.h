// SPDX-License-Identifier: Apache-2.0
// Connections that are not HTTP to us: a VirtualService's tcp and tls routes, or a service's own
// cluster, as filter chains; the same for sidecars and gateways. Pure but for what is read.
#pragma once

#include <string>
#include <vector>

#include "pilot/translate/http_connection.h"
#include "pilot/translate/virtual_service_routes.h"

namespace envoy::config::listener::v3 {
class FilterChain;
class FilterChainMatch;
}  // namespace envoy::config::listener::v3

namespace meltemi::pilot {

using FilterChain = envoy::config::listener::v3::FilterChain;

// A service port that a sidecar opens connections to.
struct TcpService {
  const Service& service;
  const ServicePort& port;
  std::string cidr;              // "10.0.0.0/8": the addresses meant, on a wildcard bind
  bool is_address_known = true;  // false: the bind tells nothing, only the server's name does
};
// `routings` are those that name the service, in their order of precedence.
std::vector<FilterChain> BuildTcpChains(Reader& reader, const RouteScope& scope,
                                        const RoutingList& routings, const TcpService& service);

// Of one Gateway server: tls routes by server name, for connections that are passed on.
std::vector<FilterChain> BuildPassthroughChains(Reader& reader, const RouteScope& scope,
                                                const RoutingList& routings,
                                                const std::vector<std::string>& server_hosts);
// The first tcp route that applies; none when no VirtualService has one.
std::vector<FilterChain> BuildGatewayTcpChains(Reader& reader, const RouteScope& scope,
                                               const RoutingList& routings);

// "10.0.0.0/8" or an address; nothing for other text.
void AddPrefix(const std::string& text, envoy::config::listener::v3::FilterChainMatch& to);

// Time to complete a TLS handshake, on all of Istio's chains.
inline constexpr int kHandshakeSeconds = 15;

}  // namespace meltemi::pilot
