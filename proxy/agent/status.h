// SPDX-License-Identifier: Apache-2.0
// Istio's ports for health and metrics: 15021 readiness, 15020 the agent's, 15090 the proxy's.
// Control thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/http/service.h"
#include "lib/runtime/loop.h"

namespace meltemi::proxy {

class StatusServers final {
 public:
  struct Options {
    std::string ip;
    uint16_t status_port = 0, agent_port = 0, metrics_port = 0;
  };
  struct Sources {
    std::function<std::string()> why_not_ready;  // "" = ready
    std::function<std::string()> metrics;        // Prometheus text
    std::function<void()> quit;                  // POST /quitquitquit, from this machine only
  };
  static StatusOr<std::unique_ptr<StatusServers>> Listen(runtime::Loop& loop,
                                                         const Options& options, Sources sources);

  // With the real ports, in the order of Options.
  const net::Address& address(size_t i) const { return services_[i]->address(); }

 private:
  std::vector<std::unique_ptr<http::Service>> services_;
};

}  // namespace meltemi::proxy
