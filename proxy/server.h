// SPDX-License-Identifier: Apache-2.0
// The data path as a whole: workers, and the configuration that reaches them. Control thread only;
// owns the worker threads.
//
// Order of life: Build → configuration through config() → Drain → Stop. Stop is final.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/grpc/client.h"
#include "lib/runtime/loop.h"
#include "lib/telemetry/metrics.h"
#include "proxy/config/certificates.h"
#include "proxy/config/listener_compiler.h"
#include "proxy/config/sink.h"
#include "proxy/http/compile.h"
#include "proxy/listener/socket_source.h"
#include "proxy/listener/worker_listeners.h"
#include "proxy/overload/overload_config.h"

namespace meltemi::proxy {

struct ServerOptions {
  size_t concurrency = 1;
  runtime::StreamEngine socket_io = runtime::StreamEngine::kEpoll;
  std::shared_ptr<SocketSource> sockets;  // nullptr: the host's network
  telemetry::Registry* registry = nullptr;
  HttpProcess process;
  ListenerLimits limits;
  OverloadConfig overload;
  // Envoy's statistics of connections and requests ("http.…", "cluster.…"); a mesh's sidecars
  // leave them out, as Istio's do by default.
  bool has_envoy_stats = true;
  TcpObservers tcp_observers;
};

class ProxyServer {
 public:
  static StatusOr<std::unique_ptr<ProxyServer>> Build(runtime::Loop& control,
                                                      ServerOptions options);
  virtual ~ProxyServer() = default;

  virtual ConfigSink& config() = 0;
  // Between Begin and End what config() takes is static: dynamic resources may not replace it.
  virtual void SetLoadingStatic(bool is_loading) = 0;
  // Tells established connections to finish; with `stops_accepting` closes the doors too.
  virtual void Drain(Direction direction, bool stops_accepting) = 0;
  // Connections under way on all workers, asked now; not for the path of a request.
  virtual size_t CountConnections() = 0;
  // Before a scrape: gauges that are only measured when somebody looks.
  virtual void RefreshGauges() = 0;
  virtual void Stop() = 0;
  // What the workers' sockets are served by: never kBest.
  virtual runtime::StreamEngine socket_io() const = 0;
  // Where the control thread connects for a cluster (proxy/config/control_target.h).
  virtual StatusOr<grpc::Target> TargetOf(const std::string& cluster, size_t turn) = 0;

  // Pages of the admin endpoint.
  virtual std::string ConfigDump(const std::string& resource, const std::string& name_regex) = 0;
  virtual std::string ClustersText() = 0;
  virtual std::string ClustersJson() = 0;
  virtual std::string ListenersText() = 0;
  virtual std::string ListenersJson() = 0;
  virtual std::vector<CertificateTexts> Certificates() = 0;
};

}  // namespace meltemi::proxy
