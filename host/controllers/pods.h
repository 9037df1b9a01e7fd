// SPDX-License-Identifier: Apache-2.0
// The Pods of this machine: runs each as a Workload and keeps its Pod object, and through
// EndpointSlices its Services, true to what it does. What a kubelet is to Kubernetes. Loop thread
// only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/controllers/addresses.h"
#include "host/controllers/endpoint_slices.h"
#include "host/controllers/image_map.h"
#include "host/controllers/objects.h"
#include "host/controllers/pod_plan.h"
#include "host/workload/workload.h"

namespace meltemi::host {

// A Pod to run.
struct PodRequest {
  std::string name;
  std::string ns;
  Json pod_template;
  std::string template_hash;
  std::string owner_kind, owner_name, owner_uid;
  RestartPolicy restart = RestartPolicy::kAlways;
  bool is_gateway = false;  // the proxy alone, on the machine's own network
  // When not empty, run instead of what the image maps to (`meltemi run`).
  Command command{};
};

// What the proxy of a Pod needs to be started with.
struct ProxyRequest {
  PodIdentity pod;
  std::string service_account;
  std::map<std::string, std::string> labels;
  std::string directory;  // of the Pod; for its token
  bool is_gateway = false;
};

struct PodsOptions {
  std::string directory;  // each Pod gets a folder below it
  std::string domain = "cluster.local";
  std::vector<std::string> base_env;  // of every app
  // The command line and environment of a Pod's proxy.
  std::function<StatusOr<Command>(const ProxyRequest&)> proxy_command;
  Duration drain_max = std::chrono::seconds(5);
};

class Pods final {
 public:
  using OnChange = std::function<void(const std::string& key)>;

  Pods(runtime::Loop& loop, Objects& objects, const ImageMap& images, PodsOptions options);
  ~Pods();

  // Starts a Pod; its key is "namespace/name". An error means that it was not started, and why.
  Status Add(PodRequest request);
  // Drains and stops it; its Pod object goes when it has ended.
  void Stop(const std::string& key);
  void StopAll();

  // Called after each change of a Pod's state, its end included (then Find gives nothing).
  void OnPodChange(OnChange on_change) { on_change_ = std::move(on_change); }
  // From here on Services count; Pods of an earlier run are removed, Pods that others delete are
  // stopped.
  void Start();

  Workload* Find(const std::string& key);
  const PodRequest* Request(const std::string& key) const;
  std::vector<std::string> keys() const;
  bool empty() const { return pods_.empty(); }

 private:
  struct Pod;
  StatusOr<WorkloadSpec> MakeSpec(const PodRequest& request, const std::string& ip);
  void OnState(const std::string& key);
  void OnPodObjects(const std::vector<ObjectChange>& changes);
  void Remove(const std::string& key);

  runtime::Loop& loop_;
  Objects& objects_;
  const ImageMap& images_;
  const PodsOptions options_;
  Addresses addresses_;
  EndpointSlices slices_;
  OnChange on_change_;
  std::map<std::string, std::shared_ptr<Pod>> pods_;
};

}  // namespace meltemi::host
