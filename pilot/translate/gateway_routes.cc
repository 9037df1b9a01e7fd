// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/gateway_routes.h"

#include <fmt/format.h>

#include <map>
#include <tuple>
#include <vector>

#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/gateway_servers.h"
#include "pilot/translate/host_domains.h"
#include "pilot/translate/sidecar_routes.h"
#include "pilot/translate/virtual_service_routes.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::route::v3;

// Routes made of one VirtualService for one server; hosts share them.
struct SharedRoutes {
  v3::VirtualHost host;
  int uses = 0;  // virtual hosts that are still to get them
};
using RoutesPtr = std::shared_ptr<SharedRoutes>;

// What one host gets, from all servers and VirtualServices together.
struct HostRoutes {
  uint32_t port = 0;  // of the first server that has it
  bool is_redirected = false;
  std::vector<RoutesPtr> routes;

  // Hosts with equal keys are treated alike.
  auto key() const { return std::tie(port, is_redirected, routes); }
  bool operator<(const HostRoutes& other) const { return key() < other.key(); }
};

class GatewayRoutes final {
 public:
  GatewayRoutes(Reader& reader, const ProxyFacts& router) : reader_(reader), router_(router) {}

  void AddServer(const MergedServer& server) {
    const RouteScope scope{router_, {server.gateway}, server.port(), server.is_terminated};
    for (const RoutingPtr& routing : *reader_.Routings(router_.ns, server.gateway)) {
      AddRouting(scope, server, *routing);
    }
    if (!server.server().tls().https_redirect()) return;
    for (const std::string& host : server.hosts) {
      HostRoutes& routes = HostOf(host, server);
      routes.is_redirected = true;
    }
  }

  void Write(uint32_t first_port, v3::RouteConfiguration& to) {
    if (hosts_.empty()) {
      v3::VirtualHost& host = *to.add_virtual_hosts();
      host.set_name(fmt::format("blackhole:{}", first_port));
      host.add_domains("*");
      return;
    }
    // Hosts that are treated alike are one virtual host, under the first one's name: a
    // VirtualService with a thousand hosts has its routes sent once.
    std::map<HostRoutes, std::vector<std::string>> alike;
    for (const auto& [name, routes] : hosts_) alike[routes].push_back(name);
    for (const auto& [routes, names] : alike) {
      for (const RoutesPtr& shared : routes.routes) ++shared->uses;
    }
    for (const auto& [routes, names] : alike) WriteHost(names, routes, *to.add_virtual_hosts());
    SortVirtualHosts(to);
  }

 private:
  void AddRouting(const RouteScope& scope, const MergedServer& server, const Routing& routing) {
    const std::vector<std::string> hosts(routing.spec.hosts().begin(), routing.spec.hosts().end());
    const auto common = Intersection(server.HostsFor(routing.origin.ns), hosts);
    if (common.empty()) return;
    auto routes = std::make_shared<SharedRoutes>();
    AddVirtualServiceRoutes(reader_, scope, routing, routes->host);
    if (routes->host.routes().empty()) return;
    for (const std::string& host : common) HostOf(host, server).routes.push_back(routes);
  }

  HostRoutes& HostOf(const std::string& host, const MergedServer& server) {
    HostRoutes& routes = hosts_[host];
    if (routes.port == 0) routes.port = server.port();
    if (server.server().tls().https_redirect()) routes.is_redirected = true;
    return routes;
  }

  static void WriteHost(const std::vector<std::string>& names, const HostRoutes& from,
                        v3::VirtualHost& to) {
    to.set_name(fmt::format("{}:{}", names.front(), from.port));
    for (const std::string& name : names) to.add_domains(name);
    to.set_include_request_attempt_count(true);
    if (from.is_redirected) to.set_require_tls(v3::VirtualHost::ALL);
    // Routes that take everything go last, or those of younger VirtualServices were never reached.
    std::vector<v3::Route> last;
    for (const RoutesPtr& shared : from.routes) {
      const bool is_final = --shared->uses == 0;
      for (v3::Route& route : *shared->host.mutable_routes()) {
        v3::Route& place = IsCatchAll(route) ? last.emplace_back() : *to.add_routes();
        if (is_final) {
          place.Swap(&route);
        } else {
          place = route;
        }
      }
    }
    for (v3::Route& route : last) *to.add_routes() = std::move(route);
  }

  Reader& reader_;
  const ProxyFacts& router_;
  std::map<std::string, HostRoutes> hosts_;
};

}  // namespace

void AddGatewayRoutes(Reader& reader, const ProxyFacts& router, const std::string& name,
                      v3::RouteConfiguration& to) {
  const MergedServers merged(reader, router);
  GatewayRoutes routes(reader, router);
  uint32_t first_port = 0;
  for (const MergedPort& port : merged.ports()) {
    for (const MergedServer& server : port.servers) {
      if (server.route_name != name) continue;
      if (first_port == 0) first_port = server.port();
      routes.AddServer(server);
    }
  }
  if (first_port != 0) routes.Write(first_port, to);
}

}  // namespace meltemi::pilot
