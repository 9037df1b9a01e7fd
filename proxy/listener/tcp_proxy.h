// SPDX-License-Identifier: Apache-2.0
// The TCP handler of a filter chain: bytes to a cluster and back, half-closes passed on, both
// directions bounded by the connections' buffers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// What is known of a TCP connection at its end; for access logs and istio.stats. The views live as
// long as the call.
struct TcpSummary {
  const AcceptedConnection* accepted = nullptr;  // its `connection` is the downstream one
  const ClusterInfo* cluster = nullptr;          // nullptr: no cluster of that name
  const Host* host = nullptr;                    // nullptr: none was reached
  const net::TlsPeer* downstream_tls = nullptr;
  uint64_t bytes_received = 0;  // from downstream
  uint64_t bytes_sent = 0;      // to downstream
  Duration duration{};
  std::string_view response_flags;  // "UF", "UH", "UO", "NC", "DC", "-" …
  std::string_view failure_detail;
  bool is_opened = false;  // true: reported at its begin, false: at its end
};

class TcpObserver {
 public:
  virtual ~TcpObserver() = default;
  // Called once when the connection is accepted and once at its end; on the worker.
  virtual void Observe(Worker& worker, const TcpSummary& summary) const = 0;
};

struct TcpProxyConfig {
  struct Target {
    ClusterId cluster = kNoId;
    uint32_t weight = 1;
  };
  std::string stat_prefix;
  std::vector<Target> targets;                    // one, or weighted_clusters
  Duration idle_timeout = std::chrono::hours(1);  // 0 = none
  Duration connection_duration_max{};             // 0 = none
  uint32_t connect_attempts_max = 1;
  bool hashes_source_ip = false;
  std::vector<std::shared_ptr<const TcpObserver>> observers;
};

std::shared_ptr<const ChainHandler> NewTcpProxy(TcpProxyConfig config);

}  // namespace meltemi::proxy
