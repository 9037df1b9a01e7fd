// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/deployments.h"

#include <fmt/format.h>

#include <algorithm>

namespace meltemi::host {
namespace {

constexpr std::string_view kSafeLetters = "bcdfghjklmnpqrstvwxz2456789";
// More is surely a slip on one machine; each replica is two processes at least.
constexpr int64_t kReplicasMax = 100;

}  // namespace

void Deployments::Start() {
  objects_.Watch("Deployment", [this](const auto& changes) { OnDeployments(changes); });
}

void Deployments::OnDeployments(const std::vector<ObjectChange>& changes) {
  std::set<std::string> touched;
  for (const ObjectChange& change : changes) {
    const std::string key = KeyOf(change.object);
    Deployment& deployment = deployments_[key];
    deployment.object = change.object;
    if (change.is_deleted) {
      deployment.replicas = 0;
    } else {
      const int64_t replicas = NumberAt(change.object, "spec/replicas", 1);
      deployment.replicas = static_cast<int>(std::clamp<int64_t>(replicas, 0, kReplicasMax));
      deployment.template_hash = TemplateHash(At(change.object, "spec/template"));
    }
    deployment.problem = absl::OkStatus();  // try anew
    if (!change.is_deleted && NumberAt(change.object, "spec/replicas", 1) > kReplicasMax)
      deployment.problem = absl::OutOfRangeError(
          fmt::format("more than {0} replicas on one machine; {0} are run\nset spec.replicas lower",
                      kReplicasMax));
    touched.insert(key);
  }
  for (const std::string& key : touched) Reconcile(key);
}

void Deployments::OnPodChange(const std::string& pod_key) {
  const auto owner = owners_.find(pod_key);
  if (owner == owners_.end()) return;
  const std::string deployment = owner->second;
  if (pods_.Find(pod_key) == nullptr) {
    deployments_[deployment].pods.erase(pod_key);
    owners_.erase(owner);
  }
  Reconcile(deployment);
}

std::vector<std::string> Deployments::PodsOf(const Deployment& deployment, bool is_present) const {
  std::vector<std::string> keys;
  for (const std::string& key : deployment.pods) {
    const PodRequest* request = pods_.Request(key);
    const Workload* workload = pods_.Find(key);
    if (request == nullptr || workload->state().phase >= Phase::kDraining) continue;
    if ((request->template_hash == deployment.template_hash) == is_present) keys.push_back(key);
  }
  return keys;
}

void Deployments::Reconcile(const std::string& key) {
  pending_.insert(key);
  if (is_reconciling_) return;
  is_reconciling_ = true;
  while (!is_closed_ && !pending_.empty()) ReconcileOne(pending_.extract(pending_.begin()).value());
  is_reconciling_ = false;
}

void Deployments::ReconcileOne(const std::string& key) {
  const auto found = deployments_.find(key);
  if (found == deployments_.end()) return;
  Deployment& deployment = found->second;
  std::vector<std::string> present = PodsOf(deployment, true);
  const auto wanted = static_cast<size_t>(deployment.replicas);
  while (present.size() > wanted) {
    pods_.Stop(present.back());
    present.pop_back();
  }
  if (deployment.problem.ok() || absl::IsOutOfRange(deployment.problem))
    for (size_t i = present.size(); i < wanted; ++i)
      if (!AddPod(deployment)) break;
  // Old Pods go once the new ones carry the load.
  present = PodsOf(deployment, true);
  const bool are_all_ready =
      present.size() >= wanted && std::all_of(present.begin(), present.end(), [&](const auto& pod) {
        return pods_.Find(pod)->state().is_ready;
      });
  if (are_all_ready)
    for (const std::string& old : PodsOf(deployment, false)) pods_.Stop(old);
  if (wanted == 0 && deployment.pods.empty() && deployment.problem.ok() &&
      NumberAt(deployment.object, "spec/replicas", 1) != 0)
    deployments_.erase(found);  // deleted, and its last Pod has gone
}

bool Deployments::AddPod(Deployment& deployment) {
  const Json& object = deployment.object;
  PodRequest request;
  request.ns = NamespaceOf(object);
  request.pod_template = At(object, "spec/template");
  request.template_hash = deployment.template_hash;
  request.owner_kind = "ReplicaSet";
  request.owner_name = NameOf(object) + "-" + deployment.template_hash;
  request.owner_uid = StringAt(object, "metadata/uid");
  request.name = request.owner_name + "-" + RandomSuffix();
  const std::string key = request.ns + "/" + request.name;
  // First, since Add() already tells of changes.
  deployment.pods.insert(key);
  owners_[key] = KeyOf(object);
  const Status added = pods_.Add(std::move(request));
  if (added.ok()) return true;
  deployment.pods.erase(key);
  owners_.erase(key);
  deployment.problem = added;
  return false;
}

std::string Deployments::RandomSuffix() {
  std::string suffix;
  for (int i = 0; i < 5; ++i) suffix.push_back(kSafeLetters[random_() % kSafeLetters.size()]);
  return suffix;
}

std::vector<Problem> Deployments::problems() const {
  std::vector<Problem> problems;
  for (const auto& [key, deployment] : deployments_) {
    if (deployment.problem.ok()) continue;
    const std::string text(Message(deployment.problem));
    const size_t line = text.find('\n');
    problems.push_back({"Deployment " + key, text.substr(0, line),
                        line == std::string::npos ? "" : text.substr(line + 1)});
  }
  return problems;
}

std::vector<Deployments::Count> Deployments::counts() const {
  std::vector<Count> counts;
  for (const auto& [key, deployment] : deployments_) {
    Count count{key, deployment.replicas, 0};
    for (const std::string& pod : PodsOf(deployment, true))
      if (pods_.Find(pod)->state().is_ready) ++count.ready;
    counts.push_back(count);
  }
  return counts;
}

}  // namespace meltemi::host
