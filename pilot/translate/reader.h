// SPDX-License-Identifier: Apache-2.0
// All that translation may read. Each question becomes a dependency of what is being built, so ask
// for the least that answers. Model-thread only.
//
// "Seen from" a namespace: exportTo and DestinationRule lookup depend on where the client is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/mesh/v1alpha1/config.pb.h"
#include "pilot/model/endpoint.h"
#include "pilot/model/proxy_facts.h"
#include "pilot/model/service.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

class Reader {
 public:
  virtual std::shared_ptr<const istio::mesh::v1alpha1::MeshConfig> Mesh() = 0;

  // Every service visible from `ns`, one per host (Istio's rule of precedence).
  virtual std::shared_ptr<const ServiceList> Services(const std::string& ns) = 0;
  // Those with a port of this number.
  virtual std::shared_ptr<const ServiceList> ServicesOnPort(const std::string& ns,
                                                            uint32_t port) = 0;
  // nullptr = not visible or not there. A wildcard service answers for hosts below it.
  virtual ServicePtr FindService(const std::string& ns, const std::string& host) = 0;
  virtual EndpointsPtr Endpoints(const ServiceKey& service, uint32_t port) = 0;  // never null
  // SPIFFE ids of those endpoints, sorted: what a cluster needs of them, so that it does not change
  // with every endpoint that comes or goes.
  virtual std::shared_ptr<const std::vector<std::string>> Identities(const ServiceKey& service,
                                                                     uint32_t port) = 0;

  virtual DestinationPolicyPtr Policy(const std::string& ns, const ServiceKey& service) = 0;
  // VirtualServices visible from `ns` that are bound to `gateway`: "mesh", or "NS/NAME".
  virtual std::shared_ptr<const RoutingList> Routings(const std::string& ns,
                                                      const std::string& gateway) = 0;
  // How the workload takes connections.
  virtual std::shared_ptr<const InboundTls> TlsOf(
      const std::string& ns, const std::map<std::string, std::string>& labels) = 0;
  virtual std::shared_ptr<const InboundPorts> InboundPortsOf(const ProxyFacts& proxy) = 0;
  virtual std::shared_ptr<const GatewayServers> GatewaysOf(const ProxyFacts& router) = 0;

 protected:
  ~Reader() = default;
};

}  // namespace meltemi::pilot
