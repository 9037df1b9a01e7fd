// SPDX-License-Identifier: Apache-2.0
// Policies, routing and secrets as inputs of the graph, by each key they are asked for.
// Model-thread only. An object whose spec says the same as before touches nothing (status writes).
#pragma once

#include <string>
#include <utility>

#include "api/mesh/v1alpha1/config.pb.h"
#include "pilot/model/listing.h"
#include "pilot/model/problems.h"
#include "pilot/policy/destination_rules.h"
#include "pilot/policy/virtual_services.h"

namespace meltemi::pilot {

class PolicyInputs final {
 public:
  struct Options {
    std::string domain;
    istio::mesh::v1alpha1::MeshConfig mesh;
  };
  PolicyInputs(Graph& graph, Problems& problems, Options options);

  // Objects of kind DestinationRule, VirtualService, PeerAuthentication, Gateway or Secret;
  // nullptr = gone.
  void Put(const config::ObjectKey& key, const config::ObjectPtr& object);
  void Flush();

  Listing<std::pair<std::string, std::string>, DestinationRuleView> rules;  // by namespace and host
  Input<config::ObjectKey, VirtualServiceView> virtual_services;
  Listing<std::string, VirtualServiceView> virtual_services_of_gateway;  // "mesh", "NS/NAME"
  Listing<std::string, config::Object> peer_authentications;             // by namespace
  Listing<int, config::Object> gateways;                                 // key 0: of all namespaces
  Input<config::ObjectKey, config::Object> secrets;

 private:
  void PutRule(const config::ObjectKey& key, const config::ObjectPtr& object);
  void PutVirtualService(const config::ObjectKey& key, const config::ObjectPtr& object);

  Problems& problems_;
  const Options options_;
  absl::flat_hash_map<config::ObjectKey, config::ObjectPtr> objects_;
  absl::flat_hash_map<config::ObjectKey, std::shared_ptr<const DestinationRuleView>> rule_of_;
  absl::flat_hash_map<config::ObjectKey, VirtualServicePtr> virtual_service_of_;
};

}  // namespace meltemi::pilot
