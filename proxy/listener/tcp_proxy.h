// SPDX-License-Identifier: Apache-2.0
// The TCP handler of a filter chain: bytes to a cluster and back, straight or through a tunnel,
// half-closes passed on, both directions bounded by the buffers of their ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/listener/tcp_tunnel.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::telemetry {
class Registry;
}

namespace meltemi::proxy {

struct TcpProxyConfig {
  struct Target {
    ClusterId cluster = kNoId;
    uint32_t weight = 1;
    std::vector<std::pair<std::string, std::string>> subset;  // metadata_match envoy.lb, sorted
  };
  std::string stat_prefix;
  std::vector<Target> targets;                    // one, or weighted_clusters
  Duration idle_timeout = std::chrono::hours(1);  // 0 = none
  Duration connection_duration_max{};             // 0 = none
  double duration_jitter_percent = 0;             // of connection_duration_max, added at random
  uint32_t connect_attempts_max = 1;
  bool hashes_source_ip = false;
  std::shared_ptr<const TunnelRequest> tunnel;  // nullptr: straight to the upstream
  TcpObservers observers;       // told when a connection is accepted and when it ends
  TcpObservers logs;            // told when it ends, and
  bool logs_connected = false;  // when its upstream connection stands,
  Duration log_interval{};      // and every so often; 0 = not
};

// `registry` may be nullptr: nothing is counted then.
std::shared_ptr<const ChainHandler> NewTcpProxy(TcpProxyConfig config,
                                                telemetry::Registry* registry);

}  // namespace meltemi::proxy
