// SPDX-License-Identifier: Apache-2.0
// A mesh of this user that is up, as commands see it: its status, its API, its monitoring port.
// Blocking; one thread.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/signals.h"
#include "lib/base/status.h"
#include "lib/kube/client.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::cli {

using Json = nlohmann::json;

class RunningMesh final {
 public:
  // FailedPrecondition, with the remedy, when it is not up.
  static StatusOr<RunningMesh> Find(const Globals& globals);

  // As host/README.md has it; read anew by Refresh().
  const Json& status() const { return status_; }
  Status Refresh();

  // A request of the API, e.g. [&](kube::Client& api, auto done) { return api.List(…, done); }.
  // Cancelled when one of `signals` came meanwhile (nullptr = none is waited for).
  using Start = std::function<kube::Client::Call(kube::Client&, kube::Client::Answer)>;
  StatusOr<Json> Call(const Start& start, const Signals* signals = nullptr);
  // GET of the control plane's monitoring port.
  StatusOr<Json> Monitoring(const std::string& path, Duration wait_max);

  // The workload (an element of status()["workloads"]) that `text` names: a Pod's name, its
  // Deployment's, or its `app` label; in namespace `ns` first, ready ones first. NotFound names
  // what there is.
  StatusOr<Json> FindWorkload(const std::string& text, const std::string& ns) const;

 private:
  RunningMesh(std::string mesh, Json status, std::unique_ptr<runtime::Loop> loop)
      : mesh_(std::move(mesh)), status_(std::move(status)), loop_(std::move(loop)) {}

  std::string mesh_;
  Json status_;
  std::unique_ptr<runtime::Loop> loop_;
  std::unique_ptr<kube::Client> client_;
};

// The address where a workload's proxy answers its admin requests.
StatusOr<net::Address> AdminOf(const Json& workload);

}  // namespace meltemi::cli
