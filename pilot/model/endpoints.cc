// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/endpoints.h"

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>

#include "api/core/v1/core.pb.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::pilot {
namespace {

namespace core = meltemi::api::core::v1;

constexpr std::string_view kUnix = "unix://";

void Describe(const Workload& workload, const EndpointSources& sources, Endpoint& endpoint) {
  endpoint.has_mutual_tls = workload.has_mutual_tls;
  endpoint.labels = workload.labels;
  endpoint.ns = workload.ns;
  endpoint.workload = workload.name;
  endpoint.weight = workload.weight;
  endpoint.locality = workload.locality;
  if (endpoint.locality == Locality{} && !workload.node.empty()) {
    endpoint.locality = sources.node(workload.node);
  }
  if (!workload.service_account.empty()) {
    endpoint.identity =
        identity::SpiffeId{sources.trust_domain, workload.ns, workload.service_account}.text();
  }
}

// 0 = the slice does not have the port.
uint32_t PortIn(const core::EndpointSlice& slice, const ServicePort& port) {
  for (const auto& candidate : slice.ports()) {
    if (candidate.name() == port.name && candidate.port() > 0) {
      return static_cast<uint32_t>(candidate.port());
    }
  }
  return 0;
}

// Absent conditions mean ready (discovery.k8s.io/v1).
bool SetReadiness(const core::EndpointSlice::Conditions& conditions, Endpoint& endpoint) {
  endpoint.is_ready = !conditions.has_ready() || conditions.ready();
  if (!conditions.terminating()) return true;
  endpoint.is_draining = conditions.serving();
  return endpoint.is_ready || endpoint.is_draining;
}

uint32_t PortOf(const Workload& workload, const ServicePort& port) {
  if (const auto named = workload.ports.find(port.name); named != workload.ports.end()) {
    return named->second;
  }
  if (port.target_number != 0) return port.target_number;
  const auto named = workload.ports.find(port.target_name);
  return named == workload.ports.end() ? 0 : named->second;
}

}  // namespace

void AddSliceEndpoints(const config::Object& slice, const ServicePort& port,
                       const EndpointSources& sources, EndpointList& endpoints) {
  const auto& body = slice.Spec<core::EndpointSlice>();
  const uint32_t number = PortIn(body, port);
  if (number == 0 || body.address_type() == "FQDN") return;
  for (const auto& from : body.endpoints()) {
    Endpoint base;
    if (!SetReadiness(from.conditions(), base)) continue;
    base.port = number;
    base.ns = slice.meta.ns;
    base.cluster_id = sources.cluster_id;
    if (!from.node_name().empty()) base.locality = sources.node(from.node_name());
    const bool is_pod = from.target_ref().kind() == "Pod";
    for (const std::string& address : from.addresses()) {
      const WorkloadPtr workload = is_pod ? sources.pod(from.target_ref().namespace_().empty()
                                                            ? slice.meta.ns
                                                            : from.target_ref().namespace_(),
                                                        from.target_ref().name())
                                          : sources.at_address(address);
      // Without its Pod we do not know whether an endpoint takes mutual TLS: as Istio, wait for it.
      if (is_pod && workload == nullptr) continue;
      Endpoint endpoint = base;
      endpoint.address = address;
      if (workload != nullptr) Describe(*workload, sources, endpoint);
      endpoints.push_back(std::move(endpoint));
    }
  }
}

void AddWorkloadEndpoints(const WorkloadList& workloads, const ServicePort& port,
                          const EndpointSources& sources, EndpointList& endpoints) {
  for (const WorkloadPtr& workload : workloads) {
    for (const std::string& address : workload->addresses) {
      Endpoint endpoint;
      const bool is_unix = address.starts_with(kUnix);
      endpoint.address = is_unix ? address.substr(kUnix.size()) : address;
      endpoint.port = is_unix ? 0 : PortOf(*workload, port);
      if (!is_unix && endpoint.port == 0) continue;
      endpoint.is_ready = workload->is_ready;
      endpoint.cluster_id = sources.cluster_id;
      Describe(*workload, sources, endpoint);
      endpoints.push_back(std::move(endpoint));
    }
  }
}

void Settle(EndpointList& endpoints) {
  const auto key = [](const Endpoint& e) { return std::tie(e.address, e.port); };
  const auto order = [](const Endpoint& e) {
    return std::make_tuple(std::cref(e.address), e.port, !e.is_ready, std::cref(e.workload));
  };
  std::sort(endpoints.begin(), endpoints.end(),
            [&](const Endpoint& a, const Endpoint& b) { return order(a) < order(b); });
  endpoints.erase(
      std::unique(endpoints.begin(), endpoints.end(),
                  [&](const Endpoint& a, const Endpoint& b) { return key(a) == key(b); }),
      endpoints.end());
}

uint32_t TargetPortInSlices(const std::vector<config::ObjectPtr>& slices, const ServicePort& port) {
  for (const config::ObjectPtr& slice : slices) {
    const uint32_t number = PortIn(slice->Spec<core::EndpointSlice>(), port);
    if (number != 0) return number;
  }
  return 0;
}

}  // namespace meltemi::pilot
