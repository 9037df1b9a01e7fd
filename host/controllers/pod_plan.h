// SPDX-License-Identifier: Apache-2.0
// What running one Pod of a Deployment means on a plain host: pure translation of the Pod template,
// the image map and the Pod's own name and address into a command, an environment and probes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/controllers/image_map.h"
#include "host/controllers/json.h"
#include "host/workload/workload.h"
#include "lib/base/status.h"

namespace meltemi::host {

inline constexpr const char* kNodeName = "localhost";

struct PodIdentity {
  std::string name;
  std::string ns;
  std::string ip;
};

struct PodPlan {
  std::string service_account;
  std::map<std::string, std::string> labels;  // of the template; without pod-template-hash
  std::map<std::string, std::string> annotations;
  std::string image;
  Command app;
  Probe startup, readiness, liveness;
  Duration stop_max = std::chrono::seconds(30);
};

// Ten characters that change with the template, in Kubernetes' alphabet for generated names.
std::string TemplateHash(const Json& pod_template);

// `base_env` ("NAME=value") is what every app gets, such as PATH. Errors have a remedy after a
// newline. Refused, as there is no honest way to run it: no or several containers, an image without
// a mapping, a workload that asks for no sidecar, environment from Secrets or ConfigMaps.
StatusOr<PodPlan> PlanPod(const Json& pod_template, const PodIdentity& pod, const ImageMap& images,
                          const std::vector<std::string>& base_env);

// The Pod object, as a node agent would have it.
struct PodStatus {
  std::string phase = "Pending";  // Pending, Running, Succeeded, Failed
  bool is_ready = false;
  bool is_terminating = false;
  int restarts = 0;
  std::string message;
  std::string started;  // RFC 3339
};
Json PodObject(const Json& pod_template, const PodIdentity& pod, const std::string& owner_kind,
               const std::string& owner_name, const std::string& owner_uid,
               const std::string& template_hash, const PodStatus& status);

}  // namespace meltemi::host
