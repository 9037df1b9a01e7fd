// SPDX-License-Identifier: Apache-2.0
// DestinationRules: which hold for a service, and what they say together (istio-control-plane.md
// §1.4, istio-api.md §3.4). Pure functions but for what the lookup reads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/mesh/v1alpha1/config.pb.h"
#include "api/networking/v1/destination_rule.pb.h"
#include "lib/base/status.h"
#include "lib/config/object.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

struct DestinationRuleView {
  config::ObjectPtr object;
  std::string host;  // a full name
  std::vector<std::string> export_to;
  const istio::networking::v1::DestinationRule& spec() const {
    return object->Spec<istio::networking::v1::DestinationRule>();
  }
};
using DestinationRuleList = std::vector<std::shared_ptr<const DestinationRuleView>>;

// An error says why the rule cannot be used.
StatusOr<std::shared_ptr<const DestinationRuleView>> ReadDestinationRule(
    const config::ObjectPtr& object, const std::string& domain,
    const istio::mesh::v1alpha1::MeshConfig& mesh);

struct DestinationRuleLookup {
  std::string client_ns, service_ns, root_ns;
  // Rules of a namespace for exactly this host (a full name, or a wildcard), oldest first.
  std::function<std::shared_ptr<const DestinationRuleList>(const std::string& ns,
                                                           const std::string& host)>
      rules;
};
// nullptr = no rule holds.
DestinationPolicyPtr FindDestinationPolicy(const DestinationRuleLookup& lookup,
                                           const std::string& host);

}  // namespace meltemi::pilot
