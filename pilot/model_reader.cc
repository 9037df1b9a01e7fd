// SPDX-License-Identifier: Apache-2.0
#include "pilot/model_reader.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "pilot/model/hosts.h"
#include "pilot/model/service_entry.h"
#include "pilot/policy/gateways.h"
#include "pilot/policy/inbound_ports.h"
#include "pilot/policy/peer_authentication.h"

namespace meltemi::pilot {
namespace {

template <typename T>
std::shared_ptr<const T> Share(T value) {
  return std::make_shared<const T>(std::move(value));
}

// Kinds whose objects change what proxies do under Istio and nothing here. Who applies one must
// hear that it has no effect.
constexpr std::array<std::string_view, 8> kWithoutEffect = {
    "AuthorizationPolicy", "EnvoyFilter", "RequestAuthentication", "Sidecar",
    "Telemetry",           "WasmPlugin",  "TrafficExtension",      "ProxyConfig"};

bool HasNoEffect(const config::Kind& kind) {
  if (kind.group == "gateway.networking.k8s.io" || kind.kind == "Ingress") return true;
  return kind.group.ends_with(".istio.io") &&
         std::find(kWithoutEffect.begin(), kWithoutEffect.end(), kind.kind) != kWithoutEffect.end();
}

}  // namespace

Model::Model(Options options)
    : options_(std::move(options)),
      mesh_(Share(options_.mesh)),
      services_(graph_, problems_, {options_.domain, options_.mesh}),
      workloads_(graph_),
      policies_(graph_, problems_, {options_.domain, options_.mesh}),
      visible_services_(graph_, "services of namespaces",
                        [this](const std::string& ns) { return Share(VisibleServices(ns)); }),
      port_index_(graph_, "service ports of namespaces",
                  [this](const std::string& ns) { return Share(ComputePortIndex(ns)); }),
      services_on_port_(graph_, "services on ports",
                        [this](const std::pair<std::string, uint32_t>& key) {
                          const auto index = port_index_.Get(key.first);
                          const auto found = index->find(key.second);
                          return Share(found == index->end() ? ServiceList() : found->second);
                        }),
      found_services_(graph_, "services by host",
                      [this](const std::pair<std::string, std::string>& key) {
                        return SearchService(key.first, key.second);
                      }),
      endpoints_(graph_, "service endpoints",
                 [this](const ServicePortKey& key) { return Share(ComputeEndpoints(key)); }),
      identities_(graph_, "service identities",
                  [this](const ServicePortKey& key) { return Share(ComputeIdentities(key)); }),
      destination_policies_(graph_, "destination policies",
                            [this](const std::pair<std::string, ServiceKey>& key) {
                              return ComputePolicy(key.first, key.second);
                            }),
      routing_(graph_, "routings",
               [this](const config::ObjectKey& key) { return ComputeRouting(key); }),
      routings_(graph_, "routings of namespaces",
                [this](const std::pair<std::string, std::string>& key) {
                  return Share(ComputeRoutings(key.first, key.second));
                }),
      inbound_tls_(graph_, "inbound tls",
                   [this](const std::pair<std::string, Labels>& key) {
                     return Share(ComputeInboundTls(key.first, key.second));
                   }),
      target_ports_(graph_, "target ports",
                    [this](const ServicePortKey& key) { return Share(ComputeTargetPort(key)); }),
      inbound_ports_(graph_, "inbound ports",
                     [this](const ProxyFacts& proxy) { return Share(ComputeInboundPorts(proxy)); }),
      gateway_servers_(graph_, "gateway servers", [this](const ProxyFacts& router) {
        return Share(
            FindGatewayServers(*policies_.gateways.Get(0), router, *InboundPortsOf(router)));
      }) {
  endpoint_sources_ = Sources();
}

EndpointSources Model::Sources() {
  return {
      .pod = [this](const std::string& ns,
                    const std::string& name) { return workloads_.pods.Get({ns, name}); },
      .at_address =
          [this](const std::string& address) {
            const auto there = workloads_.by_address.Get(address);
            return there->empty() ? nullptr : there->front();
          },
      .node =
          [this](const std::string& node) {
            const auto locality = workloads_.nodes.Get(node);
            return locality == nullptr ? Locality{} : *locality;
          },
      .trust_domain = mesh_->trust_domain(),
      .cluster_id = options_.cluster_id,
  };
}

Model::~Model() {
  graph_.Close();
}

void Model::Apply(const std::vector<config::Event>& events) {
  for (const config::Event& event : events) {
    const bool is_gone = event.type == config::EventType::kDeleted;
    Put(event.object->key(), is_gone ? nullptr : event.object);
  }
  services_.Flush();
  workloads_.Flush();
  policies_.Flush();
}

void Model::Put(const config::ObjectKey& key, const config::ObjectPtr& object) {
  namespace kinds = config::kinds;
  const config::Kind* const kind = key.kind;
  if (object != nullptr && object->spec == nullptr && kind->prototype != nullptr) {
    return problems_.Set(key, absl::InvalidArgumentError("the object was not decoded"));
  }
  if (kind == &kinds::kService || kind == &kinds::kServiceEntry || kind == &kinds::kEndpointSlice) {
    services_.Put(key, object);
  } else if (kind == &kinds::kPod || kind == &kinds::kWorkloadEntry || kind == &kinds::kNode) {
    workloads_.Put(key, object);
  } else if (kind == &kinds::kDestinationRule || kind == &kinds::kVirtualService ||
             kind == &kinds::kPeerAuthentication || kind == &kinds::kGateway ||
             kind == &kinds::kSecret) {
    policies_.Put(key, object);
  } else if (HasNoEffect(*kind)) {
    problems_.Set(key, object == nullptr
                           ? absl::OkStatus()
                           : absl::UnimplementedError("this kind is not supported yet: the object "
                                                      "has no effect on any proxy"));
  }
}

config::ObjectPtr Model::Secret(const std::string& ns, const std::string& name) {
  return policies_.secrets.Get({&config::kinds::kSecret, ns, name});
}

std::shared_ptr<const istio::mesh::v1alpha1::MeshConfig> Model::Mesh() {
  return mesh_;
}

std::shared_ptr<const ServiceList> Model::Services(const std::string& ns) {
  return visible_services_.Get(ns);
}

// One service per host: the viewer's own namespace, then Kubernetes' services, then the oldest.
ServicePtr Model::Best(const ServiceList& candidates, const std::string& ns) const {
  ServicePtr best;
  const auto rank = [&](const Service& service) {
    return std::make_tuple(service.ns != ns, !service.is_kubernetes);
  };
  for (const ServicePtr& candidate : candidates) {
    if (!candidate->IsVisibleTo(ns)) continue;
    if (best == nullptr || rank(*candidate) < rank(*best)) best = candidate;
  }
  return best;
}

ServiceList Model::VisibleServices(const std::string& ns) {
  absl::flat_hash_map<std::string, ServiceList> by_host;
  const auto all = services_.all.Get(0);
  for (const ServicePtr& service : *all) {
    if (service->IsVisibleTo(ns)) by_host[service->host].push_back(service);
  }
  ServiceList visible;
  for (const ServicePtr& service : *all) {
    const auto found = by_host.find(service->host);
    if (found == by_host.end()) continue;
    if (found->second.size() == 1 || Best(found->second, ns) == service) {
      if (service->IsVisibleTo(ns)) visible.push_back(service);
    }
  }
  return visible;
}

Model::PortIndex Model::ComputePortIndex(const std::string& ns) {
  PortIndex index;
  for (const ServicePtr& service : *Services(ns)) {
    std::set<uint32_t> numbers;
    for (const ServicePort& port : service->ports) numbers.insert(port.number);
    for (const uint32_t number : numbers) index[number].push_back(service);
  }
  return index;
}

std::shared_ptr<const ServiceList> Model::ServicesOnPort(const std::string& ns, uint32_t port) {
  return services_on_port_.Get({ns, port});
}

ServicePtr Model::SearchService(const std::string& ns, const std::string& host) {
  for (const std::string& name : CoveringHosts(host)) {
    if (ServicePtr found = Best(*services_.by_host.Get(name), ns)) return found;
  }
  return nullptr;
}

ServicePtr Model::FindService(const std::string& ns, const std::string& host) {
  return found_services_.Get({ns, host});
}

EndpointList Model::ComputeEndpoints(const ServicePortKey& key) {
  EndpointList endpoints;
  const ServicePtr service = services_.services.Get(key.first);
  const ServicePort* port = service == nullptr ? nullptr : service->FindPort(key.second);
  if (port == nullptr) return endpoints;
  const auto selected = [&](const WorkloadList& workloads) {
    WorkloadList list;
    for (const WorkloadPtr& workload : workloads) {
      if (Selects(service->selector, workload->labels)) list.push_back(workload);
    }
    return list;
  };
  const auto add = [&](const WorkloadList& workloads) {
    AddWorkloadEndpoints(workloads, *port, endpoint_sources_, endpoints);
  };
  if (service->is_kubernetes) {
    const auto slices = services_.slices.Get({service->ns, service->name});
    for (const auto& slice : *slices) {
      AddSliceEndpoints(*slice, *port, endpoint_sources_, endpoints);
    }
  } else if (service->selector.empty()) {
    if (const auto entry = services_.entries.Get(service->origin)) {
      add(InlineWorkloads(*entry, service->host));
    }
  } else {
    add(selected(*workloads_.pods_of_namespace.Get(service->ns)));
  }
  if (!service->selector.empty()) {
    add(selected(*workloads_.entries_of_namespace.Get(service->ns)));
  }
  Settle(endpoints);
  return endpoints;
}

EndpointsPtr Model::Endpoints(const ServiceKey& service, uint32_t port) {
  return endpoints_.Get({service, port});
}

std::vector<std::string> Model::ComputeIdentities(const ServicePortKey& key) {
  std::set<std::string> ids;
  for (const Endpoint& endpoint : *endpoints_.Get(key)) {
    if (!endpoint.identity.empty()) ids.insert(endpoint.identity);
  }
  return {ids.begin(), ids.end()};
}

std::shared_ptr<const std::vector<std::string>> Model::Identities(const ServiceKey& service,
                                                                  uint32_t port) {
  return identities_.Get({service, port});
}

DestinationPolicyPtr Model::ComputePolicy(const std::string& ns, const ServiceKey& service) {
  return FindDestinationPolicy(
      {.client_ns = ns,
       .service_ns = service.ns,
       .root_ns = mesh_->root_namespace(),
       .rules = [this](const std::string& of_ns,
                       const std::string& host) { return policies_.rules.Get({of_ns, host}); }},
      service.host);
}

DestinationPolicyPtr Model::Policy(const std::string& ns, const ServiceKey& service) {
  return destination_policies_.Get({ns, service});
}

RoutingPtr Model::ComputeRouting(const config::ObjectKey& key) {
  const VirtualServicePtr view = policies_.virtual_services.Get(key);
  if (view == nullptr) return nullptr;
  if (!view->has_delegates) return RoutingPtr(view, &view->routing);
  return Share(MergeDelegates(*view, [this](const std::string& ns, const std::string& name) {
    return policies_.virtual_services.Get({&config::kinds::kVirtualService, ns, name});
  }));
}

RoutingList Model::ComputeRoutings(const std::string& ns, const std::string& gateway) {
  RoutingList list;
  const auto all = policies_.virtual_services_of_gateway.Get(gateway);
  for (const VirtualServicePtr& view : VisibleIn(*all, ns)) {
    if (RoutingPtr routing = routing_.Get(view->routing.origin)) list.push_back(routing);
  }
  return list;
}

std::shared_ptr<const RoutingList> Model::Routings(const std::string& ns,
                                                   const std::string& gateway) {
  return routings_.Get({ns, gateway});
}

InboundTls Model::ComputeInboundTls(const std::string& ns, const Labels& labels) {
  const std::string& root = mesh_->root_namespace();
  return ResolveInboundTls(*policies_.peer_authentications.Get(root),
                           *policies_.peer_authentications.Get(ns), ns == root, labels);
}

std::shared_ptr<const InboundTls> Model::TlsOf(const std::string& ns,
                                               const std::map<std::string, std::string>& labels) {
  return inbound_tls_.Get({ns, labels});
}

uint32_t Model::ComputeTargetPort(const ServicePortKey& key) {
  const ServicePtr service = services_.services.Get(key.first);
  const ServicePort* port = service == nullptr ? nullptr : service->FindPort(key.second);
  if (port == nullptr) return 0;
  return TargetPortInSlices(*services_.slices.Get({service->ns, service->name}), *port);
}

InboundPorts Model::ComputeInboundPorts(const ProxyFacts& proxy) {
  return FindInboundPorts(*services_.by_namespace.Get(proxy.ns), proxy.labels,
                          [this](const Service& service, const ServicePort& port) {
                            return *target_ports_.Get({service.key(), port.number});
                          });
}

std::shared_ptr<const InboundPorts> Model::InboundPortsOf(const ProxyFacts& proxy) {
  return inbound_ports_.Get(proxy);
}

std::shared_ptr<const GatewayServers> Model::GatewaysOf(const ProxyFacts& router) {
  return gateway_servers_.Get(router);
}

}  // namespace meltemi::pilot
