// SPDX-License-Identifier: Apache-2.0
// The command lines of the programs a mesh is made of: the one place of the host that knows their
// flags.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/controllers/pods.h"
#include "host/sandbox/messages.h"

namespace meltemi::host {

// Loopback ports the control plane is told to use: picked once, kept when it is started again, so
// that its proxies find it.
struct ControlPlanePorts {
  uint16_t discovery = 0;   // xDS and CSR over TLS
  uint16_t monitoring = 0;  // /ready, /metrics
};

struct Programs {
  std::string directory;    // holds meltemid and meltemi-proxy
  std::string state;        // of the control plane: store, keys, root certificate
  std::string mesh_config;  // file
  std::string domain = "cluster.local";
  std::string mesh;
  std::string log_level = "info";
  int concurrency = 1;
  ControlPlanePorts ports;
  // The Kubernetes-shaped API is a Unix socket of mode 0600 and no port: whoever reaches it may
  // have a token for any identity, and on loopback that would be every user and every app here.
  std::string api_socket;
  std::vector<std::string> env;
  std::vector<std::string> proxy_env;  // beyond it; Istio's defaultConfig.proxyMetadata

  std::string api_address() const { return "unix:" + api_socket; }
  std::string root_certificate() const { return state + "/root-cert.pem"; }
  Command ControlPlane() const;
  Command Proxy(const ProxyRequest& request, const std::string& token_file) const;
  // FailedPrecondition when one of the programs is missing.
  Status Check() const;
};

// Free loopback ports; all different.
StatusOr<ControlPlanePorts> PickPorts();

}  // namespace meltemi::host
