// SPDX-License-Identifier: Apache-2.0
// Services and EndpointSlices as inputs of the graph, by each key they are asked for. Model-thread
// only.
//
// Two objects that claim one host in one namespace make one service: a Kubernetes Service goes
// before a ServiceEntry, then the older one.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "api/mesh/v1alpha1/config.pb.h"
#include "pilot/model/auto_address.h"
#include "pilot/model/listing.h"
#include "pilot/model/problems.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {

using NamespacedName = std::pair<std::string, std::string>;

class ServiceInputs final {
 public:
  struct Options {
    std::string domain;
    istio::mesh::v1alpha1::MeshConfig mesh;
  };
  ServiceInputs(Graph& graph, Problems& problems, Options options);

  // Objects of kind Service, ServiceEntry or EndpointSlice; nullptr = gone.
  void Put(const config::ObjectKey& key, const config::ObjectPtr& object);
  void Flush();

  Input<ServiceKey, Service> services;
  Listing<std::string, Service> by_host;
  Listing<std::string, Service> by_namespace;
  Listing<int, Service> all;  // key 0
  // EndpointSlices by namespace and name of their Service.
  Listing<NamespacedName, config::Object> slices;
  Input<config::ObjectKey, config::Object> entries;

 private:
  struct Claim {
    bool is_kubernetes;
    WallTime created;
    config::ObjectKey origin;
    bool operator<(const Claim& other) const;
  };
  void PutServices(const config::ObjectKey& key, const config::ObjectPtr& object);
  void PutSlice(const config::ObjectKey& key, const config::ObjectPtr& object);
  StatusOr<ServiceList> Read(const config::Object& object);
  void Claims(const ServicePtr& service, bool is_gone);
  void Publish(const ServiceKey& key);  // the first claim is the service

  Problems& problems_;
  const Options options_;
  AutoAddresses addresses_;
  absl::flat_hash_map<config::ObjectKey, ServiceList> of_object_;
  absl::flat_hash_map<config::ObjectKey, NamespacedName> service_of_slice_;
  absl::flat_hash_map<ServiceKey, std::map<Claim, ServicePtr>> claims_;
  absl::flat_hash_map<ServiceKey, ServicePtr> published_;
};

}  // namespace meltemi::pilot
