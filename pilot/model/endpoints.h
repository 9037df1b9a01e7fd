// SPDX-License-Identifier: Apache-2.0
// Where a service port is served: EndpointSlices joined with the Pods behind their addresses, or
// the workloads that a ServiceEntry lists or selects. Pure but for what the lookups read.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/config/object.h"
#include "pilot/model/endpoint.h"
#include "pilot/model/service.h"
#include "pilot/model/workload.h"

namespace meltemi::pilot {

// What is asked about a workload on the way to an endpoint.
struct EndpointSources {
  std::function<WorkloadPtr(const std::string& ns, const std::string& name)> pod;
  std::function<WorkloadPtr(const std::string& address)> at_address;
  std::function<Locality(const std::string& node)> node;
  std::string trust_domain;
  std::string cluster_id;
};

// Appends; the caller sorts when all are there.
void AddSliceEndpoints(const config::Object& slice, const ServicePort& port,
                       const EndpointSources& sources, EndpointList& endpoints);
void AddWorkloadEndpoints(const WorkloadList& workloads, const ServicePort& port,
                          const EndpointSources& sources, EndpointList& endpoints);
// By address, then port; of equal ones a ready one stays.
void Settle(EndpointList& endpoints);

// The number that slices give the port; 0 = none says it.
uint32_t TargetPortInSlices(const std::vector<config::ObjectPtr>& slices, const ServicePort& port);

}  // namespace meltemi::pilot
