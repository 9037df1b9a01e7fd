// SPDX-License-Identifier: Apache-2.0
// A Reader filled by hand: what a test does not set is empty or Istio's default.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pilot/translate/reader.h"

namespace meltemi::pilot {

class FakeReader final : public Reader {
 public:
  FakeReader() {
    mesh.set_trust_domain("cluster.local");
    mesh.mutable_outbound_traffic_policy()->set_mode(
        istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy::ALLOW_ANY);
  }
  // A Kubernetes Service in `default`.
  Service& AddService(const std::string& name, std::vector<ServicePort> ports) {
    auto service = std::make_shared<Service>();
    service->name = name;
    service->ns = "default";
    service->host = name + ".default.svc.cluster.local";
    service->addresses = {"10.96.0." + std::to_string(services.size() + 1)};
    service->ports = std::move(ports);
    services.push_back(service);
    return *service;
  }

  std::shared_ptr<const istio::mesh::v1alpha1::MeshConfig> Mesh() override {
    return std::make_shared<istio::mesh::v1alpha1::MeshConfig>(mesh);
  }
  std::shared_ptr<const ServiceList> Services(const std::string&) override {
    return std::make_shared<ServiceList>(services.begin(), services.end());
  }
  std::shared_ptr<const ServiceList> ServicesOnPort(const std::string&, uint32_t port) override {
    auto list = std::make_shared<ServiceList>();
    for (const auto& service : services) {
      if (service->FindPort(port) != nullptr) list->push_back(service);
    }
    return list;
  }
  ServicePtr FindService(const std::string&, const std::string& host) override {
    for (const auto& service : services) {
      if (service->host == host) return service;
    }
    return nullptr;
  }
  EndpointsPtr Endpoints(const ServiceKey& service, uint32_t port) override {
    return std::make_shared<EndpointList>(endpoints[{service, port}]);
  }
  std::shared_ptr<const std::vector<std::string>> Identities(const ServiceKey& service,
                                                             uint32_t port) override {
    std::set<std::string> identities;
    for (const Endpoint& endpoint : endpoints[{service, port}]) {
      if (!endpoint.identity.empty()) identities.insert(endpoint.identity);
    }
    return std::make_shared<std::vector<std::string>>(identities.begin(), identities.end());
  }
  DestinationPolicyPtr Policy(const std::string&, const ServiceKey& service) override {
    const auto found = policies.find(service);
    return found == policies.end() ? nullptr : std::make_shared<DestinationPolicy>(found->second);
  }
  std::shared_ptr<const RoutingList> Routings(const std::string&, const std::string&) override {
    return std::make_shared<RoutingList>();
  }
  std::shared_ptr<const InboundTls> TlsOf(
      const std::string&, const std::map<std::string, std::string>& labels) override {
    return std::make_shared<InboundTls>(labels.empty() ? namespace_tls : tls);
  }
  std::shared_ptr<const InboundPorts> InboundPortsOf(const ProxyFacts&) override {
    return std::make_shared<InboundPorts>(inbound);
  }
  std::shared_ptr<const GatewayServers> GatewaysOf(const ProxyFacts&) override {
    return std::make_shared<GatewayServers>();
  }

  istio::mesh::v1alpha1::MeshConfig mesh;
  std::vector<std::shared_ptr<Service>> services;
  std::map<std::pair<ServiceKey, uint32_t>, EndpointList> endpoints;
  std::map<ServiceKey, DestinationPolicy> policies;
  InboundTls tls, namespace_tls;  // of every workload; of namespaces
  InboundPorts inbound;
};

inline ProxyFacts SidecarFacts() {
  ProxyFacts facts;
  facts.ns = "default";
  facts.labels = {{"app", "web"}};
  return facts;
}
inline ProxyFacts RouterFacts() {
  ProxyFacts facts = SidecarFacts();
  facts.role = Role::kRouter;
  return facts;
}

}  // namespace meltemi::pilot
