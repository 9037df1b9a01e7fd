// SPDX-License-Identifier: Apache-2.0
// What the objects mean together, as values of the graph that follow from them: the Reader that
// translation reads. Model-thread only; outlives whatever reads it.
//
//   objects → inputs (model/, policy/) → services, endpoints, policies as a namespace sees them
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/config/store.h"
#include "pilot/graph/collection.h"
#include "pilot/model/endpoints.h"
#include "pilot/model/problems.h"
#include "pilot/model/service_inputs.h"
#include "pilot/model/workload_inputs.h"
#include "pilot/pilot.h"
#include "pilot/policy/policy_inputs.h"
#include "pilot/translate/reader.h"

namespace meltemi::pilot {

class Model final : public Reader {
 public:
  explicit Model(Options options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Takes the events into the graph's inputs; graph().Commit() brings observers up to date.
  void Apply(const std::vector<config::Event>& events);
  Graph& graph() { return graph_; }
  const Graph& graph() const { return graph_; }
  const Problems& problems() const { return problems_; }
  const Options& options() const { return options_; }
  // A Secret of a namespace; nullptr = none. A dependency like any other.
  config::ObjectPtr Secret(const std::string& ns, const std::string& name);

  std::shared_ptr<const istio::mesh::v1alpha1::MeshConfig> Mesh() override;
  std::shared_ptr<const ServiceList> Services(const std::string& ns) override;
  std::shared_ptr<const ServiceList> ServicesOnPort(const std::string& ns, uint32_t port) override;
  ServicePtr FindService(const std::string& ns, const std::string& host) override;
  EndpointsPtr Endpoints(const ServiceKey& service, uint32_t port) override;
  std::shared_ptr<const std::vector<std::string>> Identities(const ServiceKey& service,
                                                             uint32_t port) override;
  DestinationPolicyPtr Policy(const std::string& ns, const ServiceKey& service) override;
  std::shared_ptr<const RoutingList> Routings(const std::string& ns,
                                              const std::string& gateway) override;
  std::shared_ptr<const InboundTls> TlsOf(
      const std::string& ns, const std::map<std::string, std::string>& labels) override;
  std::shared_ptr<const InboundPorts> InboundPortsOf(const ProxyFacts& proxy) override;
  std::shared_ptr<const GatewayServers> GatewaysOf(const ProxyFacts& router) override;

 private:
  using ServicePortKey = std::pair<ServiceKey, uint32_t>;
  using PortIndex = std::map<uint32_t, ServiceList>;

  void Put(const config::ObjectKey& key, const config::ObjectPtr& object);
  ServiceList VisibleServices(const std::string& ns);
  ServicePtr SearchService(const std::string& ns, const std::string& host);
  ServicePtr Best(const ServiceList& candidates, const std::string& ns) const;
  EndpointList ComputeEndpoints(const ServicePortKey& key);
  DestinationPolicyPtr ComputePolicy(const std::string& ns, const ServiceKey& service);
  PortIndex ComputePortIndex(const std::string& ns);
  std::vector<std::string> ComputeIdentities(const ServicePortKey& key);
  RoutingPtr ComputeRouting(const config::ObjectKey& key);
  RoutingList ComputeRoutings(const std::string& ns, const std::string& gateway);
  InboundTls ComputeInboundTls(const std::string& ns, const Labels& labels);
  uint32_t ComputeTargetPort(const ServicePortKey& key);
  InboundPorts ComputeInboundPorts(const ProxyFacts& proxy);
  EndpointSources Sources();

  const Options options_;
  const std::shared_ptr<const istio::mesh::v1alpha1::MeshConfig> mesh_;
  Problems problems_;
  Graph graph_;
  ServiceInputs services_;
  WorkloadInputs workloads_;
  PolicyInputs policies_;
  EndpointSources endpoint_sources_;

  Derived<std::string, ServiceList> visible_services_;
  Derived<std::string, PortIndex> port_index_;
  Derived<std::pair<std::string, uint32_t>, ServiceList> services_on_port_;
  Derived<std::pair<std::string, std::string>, Service> found_services_;
  Derived<ServicePortKey, EndpointList> endpoints_;
  Derived<ServicePortKey, std::vector<std::string>> identities_;
  Derived<std::pair<std::string, ServiceKey>, DestinationPolicy> destination_policies_;
  Derived<config::ObjectKey, Routing> routing_;
  Derived<std::pair<std::string, std::string>, RoutingList> routings_;
  Derived<std::pair<std::string, std::map<std::string, std::string>>, InboundTls> inbound_tls_;
  Derived<ServicePortKey, uint32_t> target_ports_;
  Derived<ProxyFacts, InboundPorts> inbound_ports_;
  Derived<ProxyFacts, GatewayServers> gateway_servers_;
};

}  // namespace meltemi::pilot
