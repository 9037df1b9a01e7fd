// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/programs.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/fd.h"

namespace meltemi::host {
namespace {

// Istio's ports; each proxy has its workload's address to itself.
constexpr uint16_t kAdminPort = 15000;
constexpr uint16_t kStatusPort = 15021;

StatusOr<uint16_t> FreePort(Fd* held) {
  held->Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (::bind(held->get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::getsockname(held->get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return absl::ResourceExhaustedError(fmt::format(
        "no free port on 127.0.0.1: {}\nend programs that hold many", std::strerror(errno)));
  return ntohs(address.sin_port);
}

std::string Joined(const std::map<std::string, std::string>& labels) {
  std::string text;
  for (const auto& [key, value] : labels) text += (text.empty() ? "" : ",") + key + "=" + value;
  return text;
}

}  // namespace

StatusOr<ControlPlanePorts> PickPorts() {
  Fd held[2];  // together, so that no port comes twice
  ControlPlanePorts ports;
  MELTEMI_ASSIGN_OR_RETURN(ports.discovery, FreePort(&held[0]));
  MELTEMI_ASSIGN_OR_RETURN(ports.monitoring, FreePort(&held[1]));
  return ports;
}

Command Programs::ControlPlane() const {
  return {{directory + "/meltemid", "--state-dir", state, "--api-address", api_address(),
           "--discovery-address", fmt::format("127.0.0.1:{}", ports.discovery),
           "--monitoring-address", fmt::format("127.0.0.1:{}", ports.monitoring), "--mesh-config",
           mesh_config, "--domain", domain, "--mesh", mesh, "--log-level", log_level},
          env,
          "/"};
}

Command Programs::Proxy(const ProxyRequest& request, const std::string& token_file) const {
  const std::string discovery = fmt::format("127.0.0.1:{}", ports.discovery);
  std::vector<std::string> proxy_environment = env;
  proxy_environment.insert(proxy_environment.end(), proxy_env.begin(), proxy_env.end());
  return {{directory + "/meltemi-proxy",
           request.is_gateway ? "router" : "sidecar",
           "--discovery",
           discovery,
           "--ca-address",
           discovery,
           "--root-cert",
           root_certificate(),
           "--token",
           token_file,
           "--namespace",
           request.pod.ns,
           "--name",
           request.pod.name,
           "--service-account",
           request.service_account,
           "--labels",
           Joined(request.labels),
           "--ip",
           request.pod.ip,
           "--admin-port",
           std::to_string(kAdminPort),
           "--status-port",
           std::to_string(kStatusPort),
           "--concurrency",
           std::to_string(concurrency),
           "--log-level",
           log_level},
          std::move(proxy_environment),
          "/"};
}

Status Programs::Check() const {
  for (const char* program : {"meltemid", "meltemi-proxy"})
    if (::access(fmt::format("{}/{}", directory, program).c_str(), X_OK) != 0)
      return absl::FailedPreconditionError(fmt::format(
          "{}/{} is missing\nrun `make build`, or install all three programs into one folder",
          directory, program));
  return absl::OkStatus();
}

}  // namespace meltemi::host
