// SPDX-License-Identifier: Apache-2.0
// How a proxy process is told what to be: the values behind the command line's flags. Plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::proxy {

inline constexpr std::chrono::seconds kProcessDrainTime{5};  // Istio's terminationDrainDuration
// Istio's SECRET_TTL and SECRET_GRACE_PERIOD_RATIO: the lifetime asked for, and which share of it
// is left when the next certificate is asked for.
inline constexpr std::chrono::seconds kSecretLifetime = std::chrono::hours(24);
inline constexpr double kGraceRatio = 0.5;

// What every form has.
struct ProcessOptions {
  size_t concurrency = 0;                   // workers; 0 = one per processor this process may use
  Duration drain_time = kProcessDrainTime;  // after SIGTERM, at most
  runtime::StreamEngine socket_io = runtime::StreamEngine::kEpoll;
  std::vector<std::string> command_line;  // for /server_info
};

// From an Envoy bootstrap, as Envoy starts.
struct BootstrapOptions {
  ProcessOptions process;
  std::string path;                   // of the bootstrap, YAML or JSON
  std::string text;                   // the same as text, used when there is no path
  std::optional<net::Address> admin;  // instead of the bootstrap's
  std::string node_id, node_cluster;  // instead of the bootstrap's when not empty
  bool only_validates = false;
};

// A workload's proxy or a gateway: makes its own identity and bootstrap.
struct WorkloadOptions {
  ProcessOptions process;
  bool is_gateway = false;
  net::Address discovery;     // ADS
  net::Address authority;     // CSR service
  bool is_plaintext = false;  // discovery without TLS (15010), and no identity
  std::string server_name =
      "istiod.istio-system.svc";  // expected in the control plane's certificate
  std::string root_cert_path;     // PEM of the roots that vouch for the control plane
  std::string token_path;         // service-account token, read anew for each use
  std::string ns = "default", name, service_account = "default", workload_name;
  std::map<std::string, std::string> labels;
  std::string ip;  // of the workload; status, admin and inbound ports bind on it
  uint16_t admin_port = 15000;
  uint16_t status_port = 15021;
  uint16_t agent_port = 15020;
  uint16_t metrics_port = 15090;
  std::string capture_path;  // the sandbox's socket; "" = the host's network
  std::string trust_domain = "cluster.local";
  std::string domain = "cluster.local";
  std::string cluster_id = "Kubernetes";
  std::string mesh_id;  // "" = the trust domain
  std::chrono::seconds secret_lifetime = kSecretLifetime;
  double grace_ratio = kGraceRatio;
};

}  // namespace meltemi::proxy
