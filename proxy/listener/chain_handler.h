// SPDX-License-Identifier: Apache-2.0
// What a filter chain does with a connection that matched it: HTTP (proxy/http) or TCP
// (tcp_proxy.h). A ChainHandler is compiled once per filter chain, immutable, part of the snapshot,
// shared by all workers, and outlives every ActiveConnection it made. ActiveConnection is
// worker-local.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/net/address.h"
#include "lib/net/connection.h"
#include "lib/net/proxy_header.h"
#include "proxy/listener/tcp_observer.h"

namespace meltemi::proxy {

class ClusterNames;
class RouteNames;
class Worker;

enum class Direction : uint8_t { kUnspecified, kInbound, kOutbound };

// What is known of a connection before its first byte is interpreted. The views are those of the
// filter chain, and live as long as the handler.
struct AcceptedConnection {
  std::unique_ptr<net::Connection> connection;
  net::Address original_destination;  // SO_ORIGINAL_DST, a PROXY header's, or the local address
  net::Address remote;                // the client: a PROXY header's word, or the socket's peer
  net::Address direct_remote;         // the socket's peer
  // What a PROXY header in front said; nullptr when there was none.
  std::shared_ptr<const net::ProxyHeader> proxy_header;
  std::string_view listener_name;
  std::string_view filter_chain_name;
  std::string_view stat_prefix;
  Direction direction = Direction::kUnspecified;
  bool is_tls = false;             // terminated here
  std::string server_name;         // SNI, seen by tls_inspector or the handshake; "" when none
  std::string transport_protocol;  // "tls" or "raw_buffer"
  // First detected application protocol: ALPN of the handshake or the inspector ("h2", "http/1.1",
  // "http/1.0", "h2c", "istio" …); "" when not detected.
  std::string application_protocol;
  std::string cluster_name;  // "" = the handler's own choice (sni_cluster)
  bool bypasses_overload = false;
  // Of the listener; nullptr: none. A handler that reports connections writes them too.
  std::shared_ptr<const TcpObservers> listener_logs;
};

// One connection under way. Destroying it closes the connection at once.
class ActiveConnection {
 public:
  virtual ~ActiveConnection() = default;
  // Its listener or filter chain is going: finish what is under way, invite the peer to leave
  // (GOAWAY, connection: close). TCP has nothing to say and goes on until the drain deadline.
  virtual void Drain() = 0;
  // The worker's overload levels changed.
  virtual void OnOverload() {}
  // The client's side, for what a listener's log tells of TLS; lives as long as this. nullptr: this
  // one writes the listener's logs itself, or there are none.
  virtual const net::Connection* transport() const { return nullptr; }

 private:
  friend class WorkerListeners;
  uint32_t place_ = UINT32_MAX;  // among the worker's connections
};

// A network filter that is not the last of its chain: judges a connection before the handler has
// it. Immutable, shared by the workers.
class ConnectionGate {
 public:
  struct Verdict {
    bool is_passed = true;
    Duration delay{};            // a refused connection is kept, unread, for so long
    std::string detail;          // why, for access logs
    std::shared_ptr<void> hold;  // kept as long as a passed connection
  };
  virtual ~ConnectionGate() = default;
  virtual Verdict Judge(Worker& worker, AcceptedConnection& connection) const = 0;
};

class ChainHandler {
 public:
  virtual ~ChainHandler() = default;
  // True: it reports connections to their listener's logs, with more than the listener knows.
  virtual bool reports_connections() const { return false; }
  // A gate refused this one; for the handler's own access log.
  virtual void OnRefused(Worker&, const AcceptedConnection&, std::string_view /*detail*/) const {}
  // Takes the connection over: sets its callbacks, so that reading begins. When it is over the
  // ActiveConnection calls worker.End(*this). Never calls End inside Accept; nullptr = refused,
  // closed.
  virtual std::unique_ptr<ActiveConnection> Accept(Worker& worker,
                                                   AcceptedConnection accepted) const = 0;
};

// What a compiler of chains may ask while it compiles; control thread only. Names are interned, so
// a route may name a cluster that is not there yet (the request is answered 503, NC).
struct ChainContext {
  ClusterNames& clusters;
  RouteNames& routes;  // RDS names the chain needs become warm conditions of its listener
  std::string listener_name;
  Direction direction = Direction::kUnspecified;
  bool is_tls = false;
};

// Compilers of network filters by type URL; each takes the serialized message of the filter's
// typed_config. proxy/http registers HttpConnectionManager, proxy/listener TcpProxy.
using GateCompiler =
    std::function<StatusOr<std::shared_ptr<const ConnectionGate>>(std::string_view serialized)>;
// A serialized envoy.config.accesslog.v3.AccessLog for connections.
using ConnectionLogCompiler =
    std::function<StatusOr<std::shared_ptr<const TcpObserver>>(std::string_view serialized)>;
using ChainCompiler = std::function<StatusOr<std::shared_ptr<const ChainHandler>>(
    std::string_view serialized, const ChainContext& context)>;

}  // namespace meltemi::proxy
