// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {

std::optional<OutboundTarget> FindTarget(Reader& reader, const std::string& ns,
                                         const ClusterName& name) {
  if (name.is_inbound) return std::nullopt;
  OutboundTarget target;
  target.service = reader.FindService(ns, name.host);
  // A wildcard service also answers for hosts below it, but only its own name names a cluster.
  if (target.service == nullptr || target.service->host != name.host) return std::nullopt;
  const ServicePort* port = target.service->FindPort(name.port);
  if (port == nullptr || port->protocol == Protocol::kUdp) return std::nullopt;
  target.port = *port;
  const DestinationPolicyPtr policy = reader.Policy(ns, target.service->key());
  if (policy == nullptr) {
    if (!name.subset.empty()) return std::nullopt;
    return target;
  }
  if (!policy->origins.empty()) target.rule = policy->origins.front();
  if (name.subset.empty()) {
    target.policy = PolicyOfPort(policy->policy, name.port);
    return target;
  }
  const DestinationPolicy::Subset* subset = policy->Find(name.subset);
  if (subset == nullptr) return std::nullopt;
  target.subset_labels = subset->labels;
  target.policy = PolicyOfPort(subset->policy, name.port);
  return target;
}

}  // namespace meltemi::pilot
