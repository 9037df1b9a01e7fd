// SPDX-License-Identifier: Apache-2.0
// The HTTP connection manager and what all listeners share: filters, telemetry, access logs, TLS
// contexts. One place for inbound, outbound and gateway, so that they cannot differ by accident.
// Pure functions.
#pragma once

#include <string>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class Filter;
class FilterChain;
class Listener;
}  // namespace envoy::config::listener::v3
namespace envoy::config::route::v3 {
class RouteConfiguration;
}
namespace envoy::extensions::transport_sockets::tls::v3 {
class DownstreamTlsContext;
}

namespace meltemi::pilot {

enum class Direction : uint8_t { kInbound, kOutbound, kGateway };

struct HttpConnection {
  Direction direction = Direction::kOutbound;
  std::string stat_prefix;
  std::string route_name;  // by RDS, unless `routes` is set
  const envoy::config::route::v3::RouteConfiguration* routes = nullptr;
  bool is_http10_accepted = false;
  bool is_http2 = false;  // the port is declared to be HTTP/2 or gRPC
};
// The network filter envoy.filters.network.http_connection_manager, with Istio's HTTP filters in
// Istio's order for the direction.
void AddHttpConnection(Reader& reader, const ProxyFacts& proxy, const HttpConnection& settings,
                       envoy::config::listener::v3::FilterChain& chain);

struct TcpProxy {
  Direction direction = Direction::kOutbound;
  std::string stat_prefix;
  std::string cluster;  // or:
  std::vector<std::pair<std::string, uint32_t>> weighted_clusters;
};
// Metadata exchange and statistics where the proxy has them, then envoy.filters.network.tcp_proxy.
void AddTcpProxy(Reader& reader, const ProxyFacts& proxy, const TcpProxy& settings,
                 envoy::config::listener::v3::FilterChain& chain);

// The listener's own access log (connections no chain takes), and those of HCM and TCP proxy.
void AddListenerAccessLog(Reader& reader, envoy::config::listener::v3::Listener& listener);

// Mutual TLS of the workload's own certificate ("default", ROOTCA), for peers of the mesh's trust
// domains; `is_http` chooses the ALPN.
void SetWorkloadTls(Reader& reader, bool is_http, envoy::config::listener::v3::FilterChain& chain);
// A gateway server's TLS settings (credentialName → SDS kubernetes://…, files, ISTIO_MUTUAL).
void SetServerTls(const ProxyFacts& proxy, const istio::networking::v1::Server& server,
                  envoy::config::listener::v3::FilterChain& chain);

}  // namespace meltemi::pilot
