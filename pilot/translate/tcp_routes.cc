// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/tcp_routes.h"

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/translate/host_domains.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"

namespace meltemi::pilot {
namespace {

namespace v1 = istio::networking::v1;
using Destinations = google::protobuf::RepeatedPtrField<v1::RouteDestination>;

class ChainBuilder final {
 public:
  ChainBuilder(Reader& reader, const RouteScope& scope) : reader_(reader), scope_(scope) {}

  FilterChain OfRoute(const Destinations& routes, const Routing& routing) {
    TcpProxy settings;
    settings.direction = direction();
    if (routes.size() == 1) {
      settings.cluster = ClusterOf(routes.Get(0).destination());
      settings.stat_prefix = settings.cluster;
    } else {
      settings.stat_prefix = fmt::format("{}.{}", routing.origin.name, routing.origin.ns);
      for (const v1::RouteDestination& route : routes) {
        if (route.weight() <= 0) continue;
        settings.weighted_clusters.emplace_back(ClusterOf(route.destination()),
                                                static_cast<uint32_t>(route.weight()));
      }
      if (settings.weighted_clusters.empty()) settings.cluster = std::string(kBlackHole);
    }
    FilterChain chain = Of(settings);
    // Gateways do not say which VirtualService their chains came from, as in Istio.
    if (scope_.proxy.role == Role::kSidecar) {
      SetText("config", OriginPath(routing.origin),
              (*chain.mutable_metadata()->mutable_filter_metadata())["istio"]);
    }
    return chain;
  }

  FilterChain OfService(const Service& service, uint32_t port) {
    TcpProxy settings;
    settings.direction = direction();
    settings.cluster = ClusterName{false, port, "", service.host}.text();
    settings.stat_prefix = settings.cluster;
    return Of(settings);
  }

 private:
  Direction direction() const {
    return scope_.proxy.role == Role::kRouter ? Direction::kGateway : Direction::kOutbound;
  }
  FilterChain Of(const TcpProxy& settings) {
    FilterChain chain;
    AddTcpProxy(reader_, scope_.proxy, settings, chain);
    chain.mutable_transport_socket_connect_timeout()->set_seconds(kHandshakeSeconds);
    return chain;
  }
  std::string ClusterOf(const v1::Destination& destination) {
    return DestinationCluster(reader_, scope_.proxy.ns, destination, scope_.port);
  }

  Reader& reader_;
  const RouteScope& scope_;
};

template <typename Match>
bool Applies(const RouteScope& scope, const Routing& routing, const Match& match) {
  return (match.port() == 0 || match.port() == scope.port) &&
         IsSourceMatched(scope, routing.origin.ns, match);
}

// What the proxy itself looks at; of two matches with the same, the second is never reached.
std::string RuntimeKey(const v1::TLSMatchAttributes& match) {
  std::string key;
  for (const std::string& host : match.sni_hosts()) key += host + "|";
  key += "#";
  for (const std::string& subnet : match.destination_subnets()) key += subnet + "|";
  return key;
}

// "*" is every name, which a chain says by naming none.
void AddServerNames(const std::vector<std::string>& names,
                    envoy::config::listener::v3::FilterChainMatch& to) {
  if (std::find(names.begin(), names.end(), "*") != names.end()) return;
  for (const std::string& name : names) to.add_server_names(name);
}

// Calls `visit` for each tls match that applies and is not shadowed by an earlier one.
template <typename Visit>
void ForEachTlsMatch(const RouteScope& scope, const RoutingList& routings, const Visit& visit) {
  absl::flat_hash_set<std::string> seen;
  for (const RoutingPtr& routing : routings) {
    for (const v1::TLSRoute& route : routing->spec.tls()) {
      for (const v1::TLSMatchAttributes& match : route.match()) {
        if (!Applies(scope, *routing, match)) continue;
        if (seen.insert(RuntimeKey(match)).second) visit(*routing, route, match);
      }
    }
  }
}

std::vector<FilterChain> BuildTlsChains(Reader& reader, const RouteScope& scope,
                                        const RoutingList& routings, const TcpService& service) {
  std::vector<FilterChain> chains;
  ChainBuilder builder(reader, scope);
  ForEachTlsMatch(scope, routings, [&](const Routing& routing, const auto& route, const auto& by) {
    FilterChain chain = builder.OfRoute(route.route(), routing);
    auto& match = *chain.mutable_filter_chain_match();
    AddServerNames({by.sni_hosts().begin(), by.sni_hosts().end()}, match);
    for (const std::string& subnet : by.destination_subnets()) AddPrefix(subnet, match);
    chains.push_back(std::move(chain));
  });
  if (!chains.empty()) return chains;
  FilterChain chain = builder.OfService(service.service, service.port.number);
  if (!service.cidr.empty()) AddPrefix(service.cidr, *chain.mutable_filter_chain_match());
  if (!service.is_address_known) {
    chain.mutable_filter_chain_match()->add_server_names(service.service.host);
  }
  chains.push_back(std::move(chain));
  return chains;
}

// A tcp route's matches come to one chain: for all destinations as soon as one match names no
// subnet, else for all their subnets together. nullopt = no match applies.
std::optional<std::vector<std::string>> SubnetsOf(const RouteScope& scope, const Routing& routing,
                                                  const v1::TCPRoute& route) {
  if (route.match().empty()) return std::vector<std::string>();
  std::vector<std::string> subnets;
  bool is_matched = false;
  for (const v1::L4MatchAttributes& match : route.match()) {
    if (!Applies(scope, routing, match)) continue;
    is_matched = true;
    if (match.destination_subnets().empty()) return std::vector<std::string>();
    subnets.insert(subnets.end(), match.destination_subnets().begin(),
                   match.destination_subnets().end());
  }
  if (!is_matched) return std::nullopt;
  return subnets;
}

// Chains of all tcp routes that apply, up to the first for any destination. True when there is one.
bool AddTcpRoutes(Reader& reader, const RouteScope& scope, const RoutingList& routings,
                  const std::string& cidr, std::vector<FilterChain>& chains) {
  ChainBuilder builder(reader, scope);
  for (const RoutingPtr& routing : routings) {
    for (const v1::TCPRoute& route : routing->spec.tcp()) {
      const auto subnets = SubnetsOf(scope, *routing, route);
      if (!subnets) continue;
      FilterChain chain = builder.OfRoute(route.route(), *routing);
      for (const std::string& subnet : *subnets) {
        AddPrefix(subnet, *chain.mutable_filter_chain_match());
      }
      const bool is_default = subnets->empty();
      if (is_default && !cidr.empty()) AddPrefix(cidr, *chain.mutable_filter_chain_match());
      chains.push_back(std::move(chain));
      if (is_default) return true;
    }
  }
  return false;
}

}  // namespace

void AddPrefix(const std::string& text, envoy::config::listener::v3::FilterChainMatch& to) {
  const size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  if (!IsIpAddress(address)) return;
  uint32_t length = address.find(':') == std::string::npos ? 32 : 128;
  if (slash != std::string::npos) {
    std::from_chars(text.data() + slash + 1, text.data() + text.size(), length);
  }
  auto& range = *to.add_prefix_ranges();
  range.set_address_prefix(address);
  range.mutable_prefix_len()->set_value(length);
}

std::vector<FilterChain> BuildTcpChains(Reader& reader, const RouteScope& scope,
                                        const RoutingList& routings, const TcpService& service) {
  const Protocol protocol = service.port.protocol;
  if (protocol == Protocol::kTls || protocol == Protocol::kHttps) {
    return BuildTlsChains(reader, scope, routings, service);
  }
  std::vector<FilterChain> chains;
  if (AddTcpRoutes(reader, scope, routings, service.cidr, chains)) return chains;
  FilterChain chain = ChainBuilder(reader, scope).OfService(service.service, service.port.number);
  if (!service.cidr.empty()) AddPrefix(service.cidr, *chain.mutable_filter_chain_match());
  chains.push_back(std::move(chain));
  return chains;
}

std::vector<FilterChain> BuildPassthroughChains(Reader& reader, const RouteScope& scope,
                                                const RoutingList& routings,
                                                const std::vector<std::string>& server_hosts) {
  std::vector<FilterChain> chains;
  ChainBuilder builder(reader, scope);
  ForEachTlsMatch(scope, routings, [&](const Routing& routing, const auto& route, const auto& by) {
    std::vector<std::string> names;
    for (const std::string& name : by.sni_hosts()) {
      const bool is_served =
          std::any_of(server_hosts.begin(), server_hosts.end(), [&](const std::string& host) {
            return IsHostWithin(name, host) || IsHostWithin(host, name);
          });
      if (is_served) names.push_back(name);
    }
    if (names.empty()) return;
    FilterChain chain = builder.OfRoute(route.route(), routing);
    auto& match = *chain.mutable_filter_chain_match();
    AddServerNames(names, match);
    for (const std::string& subnet : by.destination_subnets()) AddPrefix(subnet, match);
    chains.push_back(std::move(chain));
  });
  return chains;
}

std::vector<FilterChain> BuildGatewayTcpChains(Reader& reader, const RouteScope& scope,
                                               const RoutingList& routings) {
  std::vector<FilterChain> chains;
  AddTcpRoutes(reader, scope, routings, "", chains);
  return chains;
}

}  // namespace meltemi::pilot
