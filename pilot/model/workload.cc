// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/workload.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "api/core/v1/core.pb.h"

namespace meltemi::pilot {
namespace {

namespace core = meltemi::api::core::v1;
using istio::networking::v1::WorkloadEntry;

constexpr const char* kTlsMode = "security.istio.io/tlsMode";
constexpr const char* kTlsModeIstio = "istio";
constexpr const char* kLocalityLabel = "topology.istio.io/locality";
constexpr const char* kOldLocalityLabel = "istio-locality";

const std::string& LabelOf(const Labels& labels, const std::string& key) {
  static const std::string none;
  const auto found = labels.find(key);
  return found == labels.end() ? none : found->second;
}

// A label cannot hold a slash: dots stand for them.
std::string LocalityLabel(const Labels& labels) {
  std::string text = LabelOf(labels, kLocalityLabel);
  if (text.empty()) text = LabelOf(labels, kOldLocalityLabel);
  if (text.find('/') == std::string::npos) std::replace(text.begin(), text.end(), '.', '/');
  return text;
}

// The Deployment's name: a ReplicaSet's without the hash that its Pods carry.
std::string WorkloadName(const config::Object& pod) {
  if (pod.meta.owners.empty()) return pod.meta.name;
  const config::OwnerReference& owner = pod.meta.owners.front();
  const std::string& hash = LabelOf(pod.meta.labels, "pod-template-hash");
  if (owner.kind == "ReplicaSet" && !hash.empty() && owner.name.ends_with("-" + hash)) {
    return owner.name.substr(0, owner.name.size() - hash.size() - 1);
  }
  return owner.name;
}

bool IsReady(const core::PodStatus& status) {
  for (const core::Condition& condition : status.conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

}  // namespace

WorkloadPtr WorkloadFromPod(const config::Object& pod) {
  const auto& body = pod.Spec<core::Pod>();
  if (body.status().phase() == "Succeeded" || body.status().phase() == "Failed") return nullptr;
  auto workload = std::make_shared<Workload>();
  for (const auto& ip : body.status().pod_ips()) workload->addresses.push_back(ip.ip());
  if (workload->addresses.empty() && !body.status().pod_ip().empty()) {
    workload->addresses.push_back(body.status().pod_ip());
  }
  if (workload->addresses.empty()) return nullptr;
  workload->origin = pod.key();
  workload->ns = pod.meta.ns;
  workload->name = WorkloadName(pod);
  workload->labels = pod.meta.labels;
  const auto& spec = body.spec();
  workload->service_account = !spec.service_account_name().empty() ? spec.service_account_name()
                              : !spec.service_account().empty()    ? spec.service_account()
                                                                   : "default";
  workload->node = spec.node_name();
  workload->locality = ParseLocality(LocalityLabel(pod.meta.labels));
  workload->has_mutual_tls = LabelOf(pod.meta.labels, kTlsMode) == kTlsModeIstio;
  workload->is_ready = IsReady(body.status());
  for (const auto& container : spec.containers()) {
    for (const auto& port : container.ports()) {
      if (!port.name().empty()) {
        workload->ports.emplace(port.name(), static_cast<uint32_t>(port.container_port()));
      }
    }
  }
  return workload;
}

Workload ToWorkload(const WorkloadEntry& entry, const config::ObjectKey& origin, std::string name) {
  Workload workload;
  workload.origin = origin;
  workload.addresses = {entry.address()};
  workload.ns = origin.ns;
  workload.name = std::move(name);
  workload.labels = {entry.labels().begin(), entry.labels().end()};
  workload.service_account = entry.service_account();
  workload.locality =
      ParseLocality(entry.locality().empty() ? LocalityLabel(workload.labels) : entry.locality());
  workload.weight = entry.weight();
  workload.ports = {entry.ports().begin(), entry.ports().end()};
  // An identity implies a proxy in front, unless a label says otherwise.
  const std::string& mode = LabelOf(workload.labels, kTlsMode);
  workload.has_mutual_tls = mode.empty() ? !entry.service_account().empty() : mode == kTlsModeIstio;
  return workload;
}

WorkloadPtr WorkloadFromEntry(const config::Object& entry) {
  WorkloadEntry spec = entry.Spec<WorkloadEntry>();
  if (spec.address().empty()) return nullptr;
  for (const auto& [key, value] : entry.meta.labels) (*spec.mutable_labels())[key] = value;
  return std::make_shared<const Workload>(ToWorkload(spec, entry.key(), entry.meta.name));
}

Locality ParseLocality(const std::string& text) {
  Locality locality;
  std::string_view rest = text;
  for (std::string* part : {&locality.region, &locality.zone, &locality.sub_zone}) {
    const size_t slash = rest.find('/');
    *part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  }
  return locality;
}

Locality LocalityOfNode(const config::Object& node) {
  const Labels& labels = node.meta.labels;
  return {LabelOf(labels, "topology.kubernetes.io/region"),
          LabelOf(labels, "topology.kubernetes.io/zone"),
          LabelOf(labels, "topology.istio.io/subzone")};
}

}  // namespace meltemi::pilot
