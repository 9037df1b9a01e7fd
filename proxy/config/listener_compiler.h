// SPDX-License-Identifier: Apache-2.0
// envoy.config.listener.v3.Listener → ListenerPlan. Control thread only. Filter chains become
// handlers through the registry of network filters; a chain whose bytes did not change keeps its
// handler, so its connections do not notice the update.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "proxy/config/snapshot.h"
#include "proxy/config/tls_compiler.h"
#include "proxy/listener/listener_config.h"
#include "proxy/listener/tcp_proxy.h"

namespace meltemi::proxy {

// Terminal network filters by message name
// ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy").
using ChainCompilers = std::map<std::string, ChainCompiler, std::less<>>;

// Those that judge before it, likewise.
using GateCompilers = std::map<std::string, GateCompiler, std::less<>>;

struct FilterCompilers {
  ChainCompilers chains;
  GateCompilers gates;
  ConnectionLogCompiler log;  // empty: access_log is refused
};

// A serialized TcpProxy.TunnelingConfig; errors name the field below it.
using TunnelCompiler =
    std::function<StatusOr<std::shared_ptr<const TunnelRequest>>(std::string_view serialized)>;

struct ChainPlan {
  std::string key;  // the chain's bytes and what its compilation depends on
  std::shared_ptr<const ChainHandler> handler;
  std::vector<std::shared_ptr<const ConnectionGate>> gates;
  std::optional<TlsPlan> tls;
  SourcedNames routes;  // RDS names it waits for
};

struct ListenerPlan {
  CompiledListener listener;      // without sockets and TLS contexts
  std::vector<ChainPlan> chains;  // as listener.chains
  bool binds = true;
  std::set<uint16_t> destination_ports;
  int backlog = 4096;
  bool shares_socket = false;  // enable_reuse_port: false
  std::vector<SocketOption> socket_options;
  Duration fetch_timeout{};  // the shortest wait for secrets; 0 = for ever

  std::set<std::string> secrets() const;
  SourcedNames secret_sources() const;
  SourcedNames routes() const;
  bool has_secrets(const Secrets& known) const;
};

struct ListenerInputs {
  const FilterCompilers& compilers;
  ClusterNames& clusters;
  RouteNames& routes;
};

// `earlier` = the same listener before, whose equal chains keep their handlers; may be nullptr.
StatusOr<std::shared_ptr<const ListenerPlan>> CompileListener(std::string_view serialized,
                                                              const ListenerInputs& inputs,
                                                              const ListenerPlan* earlier);

// The listener with the TLS contexts its secrets allow; sockets are the caller's.
StatusOr<std::shared_ptr<CompiledListener>> BuildListener(const ListenerPlan& plan,
                                                          const Secrets& secrets);

// For the registry. What is empty refuses the field it would compile.
struct TcpParts {
  TcpObservers observers = {};  // told of every connection (istio.stats)
  ConnectionLogCompiler log = nullptr;
  TunnelCompiler tunnel = nullptr;
  telemetry::Registry* registry = nullptr;
};
ChainCompiler TcpChainCompiler(TcpParts parts = {});
// direct_response, and the filters that judge.
ChainCompiler DirectResponseCompiler();
GateCompilers NetworkGateCompilers(telemetry::Registry* registry);

}  // namespace meltemi::proxy
