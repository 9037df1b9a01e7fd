// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/destination_rules.h"

#include <algorithm>
#include <set>

#include "pilot/model/export_to.h"
#include "pilot/model/hosts.h"

namespace meltemi::pilot {
namespace {

using istio::networking::v1::TrafficPolicy;
using Rules = DestinationRuleList;

// Blocks that portLevelSettings have too; a block that is set replaces the whole block.
template <typename To, typename From>
void LayFourBlocks(const From& from, To& to) {
  if (from.has_load_balancer()) *to.mutable_load_balancer() = from.load_balancer();
  if (from.has_connection_pool()) *to.mutable_connection_pool() = from.connection_pool();
  if (from.has_outlier_detection()) *to.mutable_outlier_detection() = from.outlier_detection();
  if (from.has_tls()) *to.mutable_tls() = from.tls();
}

bool HasPort(const TrafficPolicy& policy, uint32_t port) {
  return std::any_of(policy.port_level_settings().begin(), policy.port_level_settings().end(),
                     [port](const auto& entry) { return entry.port().number() == port; });
}

// Per port P: the rule's (its entry for P instead, where there is one), over it the subset's
// blocks, and instead of all of these the subset's own entry for P.
TrafficPolicy LaySubset(const TrafficPolicy& rule, const TrafficPolicy& subset) {
  TrafficPolicy merged = rule;
  merged.clear_port_level_settings();
  merged.clear_tunnel();  // a subset does not inherit it
  LayFourBlocks(subset, merged);
  if (subset.has_tunnel()) *merged.mutable_tunnel() = subset.tunnel();
  if (subset.has_proxy_protocol()) *merged.mutable_proxy_protocol() = subset.proxy_protocol();
  if (subset.has_retry_budget()) *merged.mutable_retry_budget() = subset.retry_budget();
  *merged.mutable_port_level_settings() = subset.port_level_settings();
  for (const auto& entry : rule.port_level_settings()) {
    if (HasPort(subset, entry.port().number())) continue;
    auto& added = *merged.add_port_level_settings();
    added = entry;
    LayFourBlocks(subset, added);
  }
  return merged;
}

bool IsExportedTo(const DestinationRuleView& rule, const std::string& ns) {
  return VisibilityOf(rule.export_to, rule.object->meta.ns, ns) != Visibility::kNone;
}

// Of one namespace and host, oldest first: those that are exported alike merge, the oldest says how
// that is.
DestinationPolicyPtr Merge(const Rules& rules) {
  auto merged = std::make_shared<DestinationPolicy>();
  const auto& export_to = rules.front()->export_to;
  std::vector<const DestinationRuleView*> parts;
  for (const auto& rule : rules) {
    if (rule->export_to == export_to) parts.push_back(rule.get());
  }
  for (const DestinationRuleView* part : parts) {
    merged->origins.push_back(part->object->key());
    if (part->spec().has_traffic_policy() && merged->policy.ByteSizeLong() == 0) {
      merged->policy = part->spec().traffic_policy();
    }
  }
  std::set<std::string> names;
  for (const DestinationRuleView* part : parts) {
    for (const auto& subset : part->spec().subsets()) {
      if (!names.insert(subset.name()).second) continue;
      merged->subsets.push_back({.name = subset.name(),
                                 .labels = {subset.labels().begin(), subset.labels().end()},
                                 .policy = LaySubset(merged->policy, subset.traffic_policy())});
    }
  }
  return merged;
}

DestinationPolicyPtr FindIn(const DestinationRuleLookup& lookup,
                            const std::vector<std::string>& hosts, const std::string& ns,
                            const std::function<bool(const DestinationRuleView&)>& is_eligible) {
  for (const std::string& host : hosts) {
    const auto all = lookup.rules(ns, host);
    Rules eligible;
    for (const auto& rule : *all) {
      if (is_eligible(*rule)) eligible.push_back(rule);
    }
    if (!eligible.empty()) return Merge(eligible);
  }
  return nullptr;
}

}  // namespace

const DestinationPolicy::Subset* DestinationPolicy::Find(const std::string& subset) const {
  const auto found = std::find_if(subsets.begin(), subsets.end(),
                                  [&](const Subset& s) { return s.name == subset; });
  return found == subsets.end() ? nullptr : &*found;
}

TrafficPolicy PolicyOfPort(const TrafficPolicy& policy, uint32_t port) {
  TrafficPolicy effective = policy;
  effective.clear_port_level_settings();
  for (const auto& entry : policy.port_level_settings()) {
    if (entry.port().number() != port) continue;
    // An entry stands instead of the blocks it can have; what it leaves out is unset, not
    // inherited.
    TrafficPolicy of_port;
    if (policy.has_tunnel()) *of_port.mutable_tunnel() = policy.tunnel();
    if (policy.has_proxy_protocol()) *of_port.mutable_proxy_protocol() = policy.proxy_protocol();
    LayFourBlocks(entry, of_port);
    return of_port;
  }
  return effective;
}

StatusOr<std::shared_ptr<const DestinationRuleView>> ReadDestinationRule(
    const config::ObjectPtr& object, const std::string& domain,
    const istio::mesh::v1alpha1::MeshConfig& mesh) {
  auto rule = std::make_shared<DestinationRuleView>();
  rule->object = object;
  if (rule->spec().host().empty()) {
    return absl::InvalidArgumentError("spec.host: a DestinationRule needs a host");
  }
  if (!rule->spec().workload_selector().match_labels().empty()) {
    return absl::UnimplementedError(
        "spec.workloadSelector: rules for some workloads of a namespace are not supported yet; "
        "this rule is used by none");
  }
  rule->host = FullHost(rule->spec().host(), object->meta.ns, domain);
  const auto& export_to = rule->spec().export_to().empty()
                              ? mesh.default_destination_rule_export_to()
                              : rule->spec().export_to();
  rule->export_to = {export_to.begin(), export_to.end()};
  return std::shared_ptr<const DestinationRuleView>(std::move(rule));
}

DestinationPolicyPtr FindDestinationPolicy(const DestinationRuleLookup& lookup,
                                           const std::string& host) {
  const std::vector<std::string> hosts = CoveringHosts(host);
  const auto is_exported = [&](const DestinationRuleView& rule) {
    return IsExportedTo(rule, lookup.client_ns);
  };
  // The root namespace's public rules are defaults for everyone, so they come last even there.
  const auto is_own = [&](const DestinationRuleView& rule) {
    if (lookup.client_ns != lookup.root_ns) return true;
    return VisibilityOf(rule.export_to, rule.object->meta.ns, lookup.client_ns) == Visibility::kOwn;
  };
  if (auto found = FindIn(lookup, hosts, lookup.client_ns, is_own)) return found;
  if (auto found = FindIn(lookup, hosts, lookup.service_ns, is_exported)) return found;
  return FindIn(lookup, hosts, lookup.root_ns, is_exported);
}

}  // namespace meltemi::pilot
