// SPDX-License-Identifier: Apache-2.0
#include "cli/up.h"

#include <fmt/format.h>

#include "host/controllers/image_map.h"
#include "host/controllers/json.h"
#include "host/controllers/pod_plan.h"

namespace meltemi::cli {
namespace {

using host::ArrayAt;
using host::NumberAt;
using host::StringAt;

constexpr Duration kPoll = std::chrono::milliseconds(25);

// Of the Deployment's Pods: why the first that is not ready is not.
std::string WhyNotReady(const Json& status, const std::string& deployment) {
  for (const Json& workload : ArrayAt(status, "workloads")) {
    const std::string owner =
        StringAt(workload, "namespace") + "/" + StringAt(workload, "workload");
    const std::string message = StringAt(workload, "message");
    if (owner == deployment && !host::BoolAt(workload, "ready"))
      return message.empty() ? StringAt(workload, "phase") : message.substr(0, message.find('\n'));
  }
  return "no Pod of it was started";
}

Status Late(const Json& status, const std::set<std::string>& waiting) {
  std::string text = fmt::format("{} Deployments are not ready in time", waiting.size());
  for (const std::string& deployment : waiting)
    text += fmt::format("\n{}: {}", deployment, WhyNotReady(status, deployment));
  const std::string& first = *waiting.begin();
  text += fmt::format(
      "\nthe mesh goes on running: `meltemi logs {}` and `meltemi status` tell more, `meltemi "
      "down` ends it",
      first.substr(first.find('/') + 1));
  return absl::DeadlineExceededError(text);
}

// Those of `deployments` that are not ready yet.
std::set<std::string> StillWaiting(const Json& status, const std::set<std::string>& deployments) {
  std::set<std::string> waiting = deployments;
  for (const Json& count : ArrayAt(status, "deployments"))
    if (NumberAt(count, "ready") >= NumberAt(count, "wanted"))
      waiting.erase(StringAt(count, "name"));
  return waiting;
}

}  // namespace

Status CheckDeployments(const Json& mesh_status, const std::set<std::string>& deployments) {
  for (const Json& problem : ArrayAt(mesh_status, "problems")) {
    const std::string object = StringAt(problem, "object");
    if (deployments.contains(object.substr(object.find(' ') + 1)))
      return absl::FailedPreconditionError(fmt::format(
          "{}: {}\n{}", object, StringAt(problem, "what"), StringAt(problem, "remedy")));
  }
  return absl::OkStatus();
}

std::set<std::string> DeploymentsOf(const std::vector<config::ObjectPtr>& objects) {
  std::set<std::string> deployments;
  for (const config::ObjectPtr& object : objects)
    if (object->kind == &config::kinds::kDeployment &&
        NumberAt(*object->document, "spec/replicas", 1) > 0)
      deployments.insert(object->meta.ns + "/" + object->meta.name);
  return deployments;
}

Status JudgeDeployments(const std::vector<config::ObjectPtr>& objects,
                        const std::string& images_path) {
  host::ImageMap images;
  if (!images_path.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(images, host::ImageMap::Load(images_path));
  }
  for (const config::ObjectPtr& object : objects) {
    if (object->kind != &config::kinds::kDeployment) continue;
    const host::PodIdentity pod{object->meta.name, object->meta.ns, "127.77.0.1"};
    const auto plan = host::PlanPod(host::At(*object->document, "spec/template"), pod, images, {});
    if (plan.ok()) continue;
    return WithContext(plan.status(), fmt::format("{}:{}: Deployment {}", object->source.file,
                                                  object->source.line, object->meta.name));
  }
  return absl::OkStatus();
}

Status AwaitDeployments(RunningMesh& mesh, const std::set<std::string>& deployments,
                        MonotonicTime deadline, Signals& signals) {
  for (;;) {
    MELTEMI_RETURN_IF_ERROR(mesh.Refresh());
    MELTEMI_RETURN_IF_ERROR(CheckDeployments(mesh.status(), deployments));
    const std::set<std::string> waiting = StillWaiting(mesh.status(), deployments);
    if (waiting.empty()) return absl::OkStatus();
    if (RealClock().Monotonic() >= deadline) return Late(mesh.status(), waiting);
    if (signals.Next(kPoll) != 0) return absl::CancelledError("interrupted");
  }
}

}  // namespace meltemi::cli
