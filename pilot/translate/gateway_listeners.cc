// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/gateway_listeners.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/translate/gateway_servers.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/listener_chains.h"
#include "pilot/translate/tcp_routes.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::listener::v3;

class GatewayListener final {
 public:
  GatewayListener(Reader& reader, const ProxyFacts& router, const MergedPort& port)
      : reader_(reader),
        router_(router),
        port_(port),
        listener_(std::make_unique<v3::Listener>()),
        chains_(*listener_) {}

  std::unique_ptr<v3::Listener> Build() {
    SetListenerAddress(port_.bind, port_.port, *listener_);
    listener_->mutable_max_connections_to_accept_per_socket_event()->set_value(1);
    for (const MergedServer& server : port_.servers) AddServer(server);
    if (chains_.is_empty()) return nullptr;
    chains_.AddInspectors();
    AddListenerAccessLog(reader_, *listener_);
    return std::move(listener_);
  }

 private:
  void AddServer(const MergedServer& server) {
    if (!server.route_name.empty()) {
      AddHttp(server);
      return;
    }
    const RouteScope scope{router_, {server.gateway}, server.port(), server.is_terminated};
    const RoutingList routings = RoutingsOf(server);
    if (port_.kind == ServerKind::kTls && !server.is_terminated) {
      // Passing on by itself what names a cluster of the mesh is for gateways between clusters.
      if (server.is_auto_passthrough) return;
      for (auto& chain : BuildPassthroughChains(reader_, scope, routings, server.hosts)) {
        chains_.Add(std::move(chain));
      }
      return;
    }
    for (auto& chain : BuildGatewayTcpChains(reader_, scope, routings)) {
      if (server.is_terminated) SetTls(server, chain);
      chains_.Add(std::move(chain));
    }
  }

  void AddHttp(const MergedServer& server) {
    v3::FilterChain chain;
    HttpConnection settings;
    settings.direction = Direction::kGateway;
    settings.stat_prefix = fmt::format("outbound_{};", listener_->name());
    settings.route_name = server.route_name;
    if (server.is_terminated) SetTls(server, chain);
    // All plain servers of a port share one chain: only the first has to be made.
    if (!server.is_terminated && !chains_.is_empty()) return;
    AddHttpConnection(reader_, router_, settings, chain);
    chain.mutable_transport_socket_connect_timeout()->set_seconds(kHandshakeSeconds);
    chains_.Add(std::move(chain));
  }

  void SetTls(const MergedServer& server, v3::FilterChain& chain) {
    const auto& hosts = server.hosts;
    if (std::find(hosts.begin(), hosts.end(), "*") == hosts.end()) {
      for (const std::string& host : hosts) {
        chain.mutable_filter_chain_match()->add_server_names(host);
      }
    }
    SetServerTls(router_, server.server(), chain);
  }

  // VirtualServices of the server's Gateway that share a host with the server.
  RoutingList RoutingsOf(const MergedServer& server) {
    RoutingList sharing;
    for (const RoutingPtr& routing : *reader_.Routings(router_.ns, server.gateway)) {
      if (routing->spec.tcp().empty() && routing->spec.tls().empty()) continue;
      const std::vector<std::string> hosts(routing->spec.hosts().begin(),
                                           routing->spec.hosts().end());
      if (!Intersection(server.HostsFor(routing->origin.ns), hosts).empty()) {
        sharing.push_back(routing);
      }
    }
    return sharing;
  }

  Reader& reader_;
  const ProxyFacts& router_;
  const MergedPort& port_;
  std::unique_ptr<v3::Listener> listener_;
  ListenerChains chains_;
};

// Only VirtualServices can tell whether a server that does not speak HTTP has anything to serve.
bool IsServed(Reader& reader, const ProxyFacts& router, const MergedPort& port) {
  for (const MergedServer& server : port.servers) {
    if (!server.route_name.empty()) return true;
  }
  return GatewayListener(reader, router, port).Build() != nullptr;
}

}  // namespace

std::vector<std::string> GatewayListenerNames(Reader& reader, const ProxyFacts& router) {
  std::vector<std::string> names;
  const MergedServers merged(reader, router);
  for (const MergedPort& port : merged.ports()) {
    if (IsServed(reader, router, port)) names.push_back(port.listener_name());
  }
  return names;
}

std::unique_ptr<v3::Listener> BuildGatewayListener(Reader& reader, const ProxyFacts& router,
                                                   const std::string& name) {
  const MergedServers merged(reader, router);
  for (const MergedPort& port : merged.ports()) {
    if (port.listener_name() == name) return GatewayListener(reader, router, port).Build();
  }
  return nullptr;
}

}  // namespace meltemi::pilot
