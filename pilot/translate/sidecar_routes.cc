// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/sidecar_routes.h"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/host_domains.h"
#include "pilot/translate/names.h"
#include "pilot/translate/routing_index.h"
#include "pilot/translate/virtual_service_actions.h"
#include "pilot/translate/virtual_service_routes.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::route::v3;

constexpr uint32_t kDirectResponseBytesMax = 1 << 20;  // Istio's; Envoy's default is 4 KiB
// Hosts of VirtualServices that are no services of the mesh are served here only, as in Istio.
constexpr uint32_t kHttpPort = 80;
constexpr uint32_t kBlockedStatus = 502;

bool IsRouted(const Service& service, uint32_t port) {
  const ServicePort* found = service.FindPort(port);
  return found != nullptr && (IsHttp(found->protocol) || found->protocol == Protocol::kUnsupported);
}

// Requests to hosts that nobody knows: on to where they were going, or refused.
void AddCatchAll(Reader& reader, v3::RouteConfiguration& to) {
  using Policy = istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy;
  const auto mesh = reader.Mesh();
  const bool is_blocked = mesh->has_outbound_traffic_policy() &&
                          mesh->outbound_traffic_policy().mode() == Policy::REGISTRY_ONLY;
  v3::VirtualHost& host = *to.add_virtual_hosts();
  host.set_name(is_blocked ? "block_all" : "allow_any");
  host.add_domains("*");
  host.set_include_request_attempt_count(true);
  v3::Route& route = *host.add_routes();
  route.set_name(host.name());
  route.mutable_match()->set_prefix("/");
  if (is_blocked) {
    route.mutable_direct_response()->set_status(kBlockedStatus);
    return;
  }
  route.mutable_route()->set_cluster(std::string(kPassthroughCluster));
  SetTimeout({}, *route.mutable_route());
}

class PortRoutes final {
 public:
  PortRoutes(Reader& reader, const ProxyFacts& proxy, uint32_t port, v3::RouteConfiguration& to)
      : reader_(reader),
        scope_{proxy, {"mesh"}, port, false},
        services_(reader.ServicesOnPort(proxy.ns, port)),
        routings_(reader.Routings(proxy.ns, "mesh")),
        index_(*routings_),
        claims_(routings_->size()),
        to_(to) {
    for (const ServicePtr& service : *services_) by_host_.emplace(service->host, service.get());
  }

  void Build() {
    Claim();
    Domains domains(scope_.proxy, FullNames());
    for (size_t i = 0; i < routings_->size(); ++i) AddRouting(i, domains);
    for (const Service* service : unclaimed_) {
      v3::VirtualHost host;
      AddDefaultRoute(reader_, scope_.proxy, *service, scope_.port, host);
      AddHost(service->host, service, std::move(host), domains);
    }
    SortVirtualHosts(to_);
    if (!domains.has("*")) AddCatchAll(reader_, to_);
  }

 private:
  // Each service goes to the VirtualService that speaks for it.
  void Claim() {
    for (const ServicePtr& service : *services_) {
      const int routing = index_.Find(service->host);
      if (!IsRouted(*service, scope_.port)) continue;
      if (routing < 0) {
        unclaimed_.push_back(service.get());
      } else {
        claims_[static_cast<size_t>(routing)].push_back(service.get());
      }
    }
  }

  absl::flat_hash_set<std::string> FullNames() const {
    absl::flat_hash_set<std::string> names;
    for (const ServicePtr& service : *services_) names.insert(service->host);
    for (const RoutingPtr& routing : *routings_) {
      names.insert(routing->spec.hosts().begin(), routing->spec.hosts().end());
    }
    return names;
  }

  void AddRouting(size_t i, Domains& domains) {
    const Routing& routing = *(*routings_)[i];
    const std::vector<const Service*>& claimed = claims_[i];
    if (claimed.empty() && scope_.port != kHttpPort) return;
    v3::VirtualHost routes;
    AddVirtualServiceRoutes(reader_, scope_, routing, routes);
    if (routes.routes().empty()) {
      unclaimed_.insert(unclaimed_.end(), claimed.begin(), claimed.end());
      return;
    }
    std::vector<std::pair<const std::string*, const Service*>> hosts;
    for (const Service* service : claimed) hosts.emplace_back(&service->host, service);
    for (const std::string& host : routing.spec.hosts()) {
      const bool is_service = IsWildcard(host) ? index_.is_met(std::string_view(host).substr(1))
                                               : by_host_.contains(host);
      if (!is_service) hosts.emplace_back(&host, nullptr);
    }
    for (size_t at = 0; at < hosts.size(); ++at) {
      const bool is_last = at + 1 == hosts.size();
      AddHost(*hosts[at].first, hosts[at].second, is_last ? std::move(routes) : routes, domains);
    }
  }

  void AddHost(const std::string& name, const Service* service, v3::VirtualHost host,
               Domains& domains) {
    if (!domains.Add(name, service, host)) return;
    host.set_name(fmt::format("{}:{}", name, scope_.port));
    host.set_include_request_attempt_count(true);
    *to_.add_virtual_hosts() = std::move(host);
  }

  Reader& reader_;
  const RouteScope scope_;
  const std::shared_ptr<const ServiceList> services_;
  const std::shared_ptr<const RoutingList> routings_;
  RoutingIndex index_;
  absl::flat_hash_map<std::string_view, const Service*> by_host_;
  std::vector<std::vector<const Service*>> claims_;  // by routing
  std::vector<const Service*> unclaimed_;
  v3::RouteConfiguration& to_;
};

}  // namespace

void SetRouteDefaults(const std::string& name, v3::RouteConfiguration& to) {
  to.set_name(name);
  to.mutable_validate_clusters()->set_value(false);
  to.set_ignore_port_in_host_matching(true);
  to.mutable_max_direct_response_body_size_bytes()->set_value(kDirectResponseBytesMax);
}

void SortVirtualHosts(v3::RouteConfiguration& to) {
  auto& hosts = *to.mutable_virtual_hosts();
  std::sort(hosts.pointer_begin(), hosts.pointer_end(),
            [](const auto* a, const auto* b) { return a->name() < b->name(); });
}

void AddPortRoutes(Reader& reader, const ProxyFacts& proxy, uint32_t port,
                   v3::RouteConfiguration& to) {
  PortRoutes(reader, proxy, port, to).Build();
}

void AddServiceRoutes(Reader& reader, const ProxyFacts& proxy, const std::string& host,
                      uint32_t port, v3::RouteConfiguration& to) {
  const ServicePtr service = reader.FindService(proxy.ns, host);
  if (service == nullptr || service->host != host || !IsRouted(*service, port)) return;
  v3::VirtualHost& virtual_host = *to.add_virtual_hosts();
  virtual_host.set_name(fmt::format("{}:{}", host, port));
  virtual_host.add_domains("*");
  virtual_host.set_include_request_attempt_count(true);
  const auto routings = reader.Routings(proxy.ns, "mesh");
  const int found = RoutingIndex(*routings).Find(host);
  if (found >= 0) {
    const RouteScope scope{proxy, {"mesh"}, port, false};
    AddVirtualServiceRoutes(reader, scope, *(*routings)[static_cast<size_t>(found)], virtual_host);
  }
  if (virtual_host.routes().empty()) {
    AddDefaultRoute(reader, proxy, *service, port, virtual_host);
  }
}

}  // namespace meltemi::pilot
