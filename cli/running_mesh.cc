// SPDX-License-Identifier: Apache-2.0
#include "cli/running_mesh.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "cli/fetch.h"
#include "cli/nearest.h"
#include "host/controllers/json.h"
#include "host/mesh/control_socket.h"

namespace meltemi::cli {
namespace {

using host::ArrayAt;
using host::BoolAt;
using host::StringAt;

constexpr Duration kAnswerMax = std::chrono::seconds(10);
// How long a signal may wait to be seen while an answer is awaited.
constexpr Duration kSignalWaitMax = std::chrono::milliseconds(50);
constexpr uint16_t kAdminPort = 15000;

StatusOr<Json> StatusOf(const std::string& mesh) {
  MELTEMI_ASSIGN_OR_RETURN(host::ControlClient client, host::ControlClient::Connect(mesh));
  return client.Call({{"do", "status"}}, {}, kAnswerMax);
}

}  // namespace

StatusOr<RunningMesh> RunningMesh::Find(const Globals& globals) {
  MELTEMI_ASSIGN_OR_RETURN(Json status, StatusOf(globals.mesh));
  MELTEMI_ASSIGN_OR_RETURN(std::unique_ptr<runtime::Loop> loop, runtime::Loop::Create());
  RunningMesh mesh(globals.mesh, std::move(status), std::move(loop));
  MELTEMI_ASSIGN_OR_RETURN(const net::Address api,
                           net::Address::Parse(StringAt(mesh.status_, "controlPlane/api")));
  kube::ClientOptions options;
  options.address = api;
  mesh.client_ = std::make_unique<kube::Client>(*mesh.loop_, options);
  return mesh;
}

Status RunningMesh::Refresh() {
  MELTEMI_ASSIGN_OR_RETURN(status_, StatusOf(mesh_));
  return absl::OkStatus();
}

StatusOr<Json> RunningMesh::Call(const Start& start, const Signals* signals) {
  std::optional<StatusOr<Json>> answer;
  const auto call = start(*client_, [&](StatusOr<Json> got) { answer = std::move(got); });
  while (!answer) {
    loop_->RunOnce(kSignalWaitMax);
    if (signals != nullptr && signals->HasCome()) return absl::CancelledError("interrupted");
  }
  if (absl::IsUnavailable(answer->status()))
    return absl::UnavailableError(
        fmt::format("the control plane does not answer ({})\nit is started again by itself; try "
                    "again, or see {}",
                    Message(answer->status()), StringAt(status_, "controlPlane/log")));
  return *std::move(answer);
}

StatusOr<Json> RunningMesh::Monitoring(const std::string& path, Duration wait_max) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address address,
                           net::Address::Parse(StringAt(status_, "controlPlane/monitoring")));
  MELTEMI_ASSIGN_OR_RETURN(const std::string body, Get(address, path, wait_max));
  Json answer = Json::parse(body, nullptr, false);
  if (answer.is_discarded())
    return absl::InternalError(fmt::format("{} of the control plane is not JSON", path));
  return answer;
}

StatusOr<Json> RunningMesh::FindWorkload(const std::string& text, const std::string& ns) const {
  const Json* best = nullptr;
  int best_rank = 0;
  std::vector<std::string> names;
  for (const Json& workload : ArrayAt(status_, "workloads")) {
    const std::string name = StringAt(workload, "name");
    const std::string owner = StringAt(workload, "workload", name);
    const bool is_named = name == text || StringAt(workload, "namespace") + "/" + name == text;
    names.push_back(owner);
    if (!is_named && owner != text && StringAt(workload, "labels/app") != text) continue;
    const int rank = (is_named ? 8 : 0) + (StringAt(workload, "namespace") == ns ? 4 : 0) +
                     (owner == text ? 2 : 0) + (BoolAt(workload, "ready") ? 1 : 0);
    if (best != nullptr && rank <= best_rank) continue;
    best = &workload;
    best_rank = rank;
  }
  if (best != nullptr) return *best;
  const std::string nearest = Nearest(text, names);
  return absl::NotFoundError(fmt::format(
      "no workload {} runs in the mesh {}\n{}", text, mesh_,
      nearest.empty() ? "`meltemi status` lists them"
                      : fmt::format("did you mean {}? `meltemi status` lists them", nearest)));
}

StatusOr<net::Address> AdminOf(const Json& workload) {
  return net::Address::ParseIp(StringAt(workload, "address"), kAdminPort);
}

}  // namespace meltemi::cli
