// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/pods.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace meltemi::host {
namespace {

// What a proxy binds on its own address whatever its Services are.
const std::vector<uint16_t> kProxyPorts = {15000, 15006, 15020, 15021, 15090};

constexpr const char* kTlsModeLabel = "security.istio.io/tlsMode";

std::string Rfc3339(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

const char* PodPhase(const WorkloadState& state) {
  switch (state.phase) {
    case Phase::kStarting:
    case Phase::kAwaitingProxy:
      return "Pending";
    case Phase::kRunning:
    case Phase::kDraining:
    case Phase::kStoppingApp:
      return "Running";
    case Phase::kEnded:
      return state.app_ending.code == 0 && state.app_ending.signal == 0 ? "Succeeded" : "Failed";
  }
  return "Unknown";
}

}  // namespace

struct Pods::Pod {
  PodRequest request;
  PodIdentity identity;
  std::unique_ptr<Workload> workload;
  Json written;  // the object as last put
};

Pods::Pods(runtime::Loop& loop, Objects& objects, const ImageMap& images, PodsOptions options)
    : loop_(loop),
      objects_(objects),
      images_(images),
      options_(std::move(options)),
      addresses_(fmt::format("{} {}", options_.directory, ::getuid())),
      slices_(objects) {}

Pods::~Pods() = default;

StatusOr<WorkloadSpec> Pods::MakeSpec(const PodRequest& request, const std::string& ip) {
  const PodIdentity identity{request.name, request.ns, ip};
  PodPlan plan;
  if (request.is_gateway) {
    plan.labels = MapAt(request.pod_template, "metadata/labels");
    plan.service_account = StringAt(request.pod_template, "spec/serviceAccountName", "default");
  } else if (!request.command.argv.empty()) {
    plan.labels = MapAt(request.pod_template, "metadata/labels");
    plan.service_account = StringAt(request.pod_template, "spec/serviceAccountName", "default");
    plan.app = request.command;
  } else {
    MELTEMI_ASSIGN_OR_RETURN(plan,
                             PlanPod(request.pod_template, identity, images_, options_.base_env));
  }
  WorkloadSpec spec;
  spec.name = request.name;
  spec.ns = request.ns;
  spec.ip = ip;
  spec.domain = options_.domain;
  spec.directory = fmt::format("{}/{}/{}", options_.directory, request.ns, request.name);
  spec.app = std::move(plan.app);
  spec.restart = request.restart;
  spec.startup = std::move(plan.startup);
  spec.readiness = std::move(plan.readiness);
  spec.liveness = std::move(plan.liveness);
  spec.drain_max = options_.drain_max;
  spec.stop_max = plan.stop_max;
  std::error_code error;
  std::filesystem::create_directories(spec.directory, error);
  if (error)
    return absl::InternalError(fmt::format("making {}: {}", spec.directory, error.message()));
  plan.labels["pod-template-hash"] = request.template_hash;
  MELTEMI_ASSIGN_OR_RETURN(spec.proxy,
                           options_.proxy_command({.pod = identity,
                                                   .service_account = plan.service_account,
                                                   .labels = plan.labels,
                                                   .directory = spec.directory,
                                                   .is_gateway = request.is_gateway}));
  return spec;
}

void Pods::Start() {
  objects_.Watch("Pod", [this](const auto& changes) { OnPodObjects(changes); });
  slices_.Start();
}

void Pods::OnPodObjects(const std::vector<ObjectChange>& changes) {
  for (const ObjectChange& change : changes) {
    const std::string key = KeyOf(change.object);
    const bool is_ours = StringAt(change.object, "spec/nodeName") == kNodeName;
    if (change.is_deleted) {
      if (pods_.contains(key)) Stop(key);
    } else if (is_ours && !pods_.contains(key)) {
      objects_.Delete("Pod", NamespaceOf(change.object), NameOf(change.object));
    }
  }
}

Status Pods::Add(PodRequest request) {
  const std::string key = request.ns + "/" + request.name;
  if (pods_.contains(key))
    return absl::AlreadyExistsError(
        fmt::format("a workload {} runs already\nchoose another name", key));
  MELTEMI_ASSIGN_OR_RETURN(const std::string ip, addresses_.Take(kProxyPorts));
  StatusOr<WorkloadSpec> spec = MakeSpec(request, ip);
  if (!spec.ok()) {
    addresses_.Release(ip);
    return spec.status();
  }
  auto pod = std::make_shared<Pod>();
  pod->identity = {request.name, request.ns, ip};
  pod->request = std::move(request);
  pod->workload = std::make_unique<Workload>(loop_, *std::move(spec),
                                             [this, key](const WorkloadState&) { OnState(key); });
  pods_[key] = pod;
  const Status started = pod->workload->Start();
  if (!started.ok()) Remove(key);
  return started;
}

void Pods::OnState(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  Pod& pod = *found->second;
  const WorkloadState& state = pod.workload->state();
  if (state.phase == Phase::kEnded && pod.request.restart == RestartPolicy::kAlways) {
    // It is inside the workload's own callback: it goes at the end of the pass.
    loop_.Post([this, key] { Remove(key); });
  }
  PodStatus status;
  status.phase = PodPhase(state);
  status.is_ready = state.is_ready;
  status.is_terminating = state.phase >= Phase::kDraining;
  status.restarts = state.app_restarts;
  status.message = state.message;
  status.started = Rfc3339(state.started);
  Json object =
      PodObject(pod.request.pod_template, pod.identity, pod.request.owner_kind,
                pod.request.owner_name, pod.request.owner_uid, pod.request.template_hash, status);
  // What Istio's injector sets: a proxy that takes mutual TLS stands in front.
  if (!pod.request.is_gateway) object["metadata"]["labels"][kTlsModeLabel] = "istio";
  slices_.PutPod(object);
  object["metadata"].erase("deletionTimestamp");
  if (object != pod.written) {
    objects_.Put(object);
    pod.written = std::move(object);
  }
  if (on_change_) on_change_(key);
}

void Pods::Remove(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  const std::shared_ptr<Pod> pod = std::move(found->second);
  pods_.erase(found);
  addresses_.Release(pod->identity.ip);
  slices_.RemovePod(key);
  if (!pod->written.is_null()) objects_.Delete("Pod", pod->identity.ns, pod->identity.name);
  loop_.DeferDelete(pod);
  if (on_change_) on_change_(key);
}

void Pods::Stop(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  if (found->second->workload->state().phase == Phase::kEnded) return Remove(key);
  found->second->request.restart = RestartPolicy::kAlways;  // so that it goes when it has ended
  found->second->workload->Stop();
}

void Pods::StopAll() {
  for (const std::string& key : keys()) Stop(key);
}

Workload* Pods::Find(const std::string& key) {
  const auto found = pods_.find(key);
  return found == pods_.end() ? nullptr : found->second->workload.get();
}

const PodRequest* Pods::Request(const std::string& key) const {
  const auto found = pods_.find(key);
  return found == pods_.end() ? nullptr : &found->second->request;
}

std::vector<std::string> Pods::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, pod] : pods_) keys.push_back(key);
  return keys;
}

}  // namespace meltemi::host
