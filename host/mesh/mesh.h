// SPDX-License-Identifier: Apache-2.0
// A mesh on this machine, for commands: up, down. What is in between goes over the control socket
// (control_socket.h, README.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "host/controllers/json.h"
#include "host/controllers/objects.h"
#include "host/mesh/state_directory.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/runtime/loop.h"

namespace meltemi::host {

struct MeshOptions {
  std::string name = "default";
  std::string images_path;           // "" = no image map: only `meltemi run` works
  uint16_t gateway_port = 8080;      // of the ingress gateway, for port 80 of its Service
  uint16_t gateway_tls_port = 8443;  // for 443
  bool has_gateway = true;
  std::string programs_directory;  // "" = beside the running program
  // A MeshConfig of the user's; "" = access logs to the proxies' logs, Istio's metrics.
  std::string mesh_config_path;
  std::string domain = "cluster.local";
  std::string log_level = "info";
  int concurrency = 1;  // workers of each proxy
  Duration ready_wait_max = std::chrono::seconds(60);
  Duration drain_max = std::chrono::seconds(5);
  // When this descriptor becomes readable while the mesh starts, all of it ends and Up() returns
  // Cancelled. -1 = none.
  int interrupt_fd = -1;

  // How the supervisor reaches the API, and gets a token for a service account; tests put fakes
  // here.
  std::function<StatusOr<std::unique_ptr<Objects>>(runtime::Loop&, const std::string& api_address)>
      open_objects;
  // May be null: called in the supervisor, which waits for it, before anything of the API is read.
  std::function<Status(const std::string& api_address)> prepare_api;
  std::function<StatusOr<std::string>(const std::string& api_address, const std::string& ns,
                                      const std::string& service_account)>
      request_token;
};

class Mesh final {
 public:
  // Starts the mesh in a process of its own, and returns its status (README.md) once control plane
  // and gateway are ready. Every error has a remedy after a newline, and leaves nothing running.
  // Requires: the caller has one thread.
  static StatusOr<Json> Up(const MeshOptions& options);
  static StatusOr<Json> UpAt(const StateDirectory& state, const MeshOptions& options);

  // Drains and ends everything and waits for it. FailedPrecondition when the mesh is not up (what
  // an earlier one left is removed all the same).
  static Status Down(const std::string& name, Duration wait_max = std::chrono::seconds(90));
  static Status DownAt(const StateDirectory& state, Duration wait_max);
};

}  // namespace meltemi::host
