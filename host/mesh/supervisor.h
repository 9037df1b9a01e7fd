// SPDX-License-Identifier: Apache-2.0
// The process that keeps a mesh: control plane, gateway, workloads, control socket. One thread, one
// loop.
//
//   starting ─ control plane ready ─► API opened, gateway added, Deployments watched ─ gateway
//   ready ─► up up ─ stop asked, SIGTERM, SIGINT ─► Pods drain and end ─► control plane ends ─►
//   gone
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/controllers/deployments.h"
#include "host/controllers/image_map.h"
#include "host/controllers/pods.h"
#include "host/mesh/control_plane.h"
#include "host/mesh/control_server.h"
#include "host/mesh/mesh.h"
#include "host/mesh/programs.h"
#include "lib/runtime/signal.h"

namespace meltemi::host {

class Supervisor final {
 public:
  // `on_up` is told once: OK when the mesh is up, or what is wrong for good.
  Supervisor(runtime::Loop& loop, StateDirectory state, MeshOptions options, ImageMap images,
             Programs programs, std::function<void(const Status&)> on_up);
  ~Supervisor();

  Status Start();
  void Stop();
  Json StatusJson();

 private:
  using Connection = std::shared_ptr<ControlConnection>;

  void OnControlPlaneChange();
  Status OpenApi();
  Status AddGateway();
  StatusOr<Command> ProxyCommand(const ProxyRequest& request);
  void OnPodChange(const std::string& key);
  void RefreshTokens();
  void Tell(const Status& status);

  // Commands, one method each.
  void Handle(const Connection& from, const Json& request, std::vector<Fd> descriptors);
  void HandleExec(const Connection& from, const Json& request, std::vector<Fd> descriptors);
  void HandleRun(const Connection& from, const Json& request);
  void HandleStop(const Connection& from);
  // The Pod that `text` names: its own name, or its Deployment's, or its app label's; ready ones
  // first.
  std::string FindPod(const std::string& ns, const std::string& text);

  runtime::Loop& loop_;
  const StateDirectory state_;
  const MeshOptions options_;
  const ImageMap images_;
  const Programs programs_;
  std::function<void(const Status&)> on_up_;

  std::unique_ptr<runtime::SignalWatcher> signals_;
  std::unique_ptr<ControlPlane> control_plane_;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<Pods> pods_;
  std::unique_ptr<Deployments> deployments_;
  std::unique_ptr<ControlServer> control_;
  std::vector<Connection> stop_waiters_;
  std::map<std::string, Connection> runs_;  // `meltemi run`, by Pod
  std::string gateway_key_;
  bool is_stopping_ = false;
  WallTime started_{};
  WallTime tokens_due_{};
  runtime::Timer token_timer_;
};

// Runs the supervisor in this process until the mesh has ended; for Mesh::Up's child.
void RunSupervisor(const StateDirectory& state, const MeshOptions& options, const ImageMap& images,
                   const Programs& programs, std::function<void(const StatusOr<Json>&)> on_up);

}  // namespace meltemi::host
