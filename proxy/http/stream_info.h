// SPDX-License-Identifier: Apache-2.0
// What is known of one request: filled while it goes through, read by filters, metrics and the
// access log. Worker-local; one per exchange, reused. Views point into the request's arena, the
// exchange's own arena, or configuration that the pin keeps alive.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/http/message.h"
#include "lib/net/address.h"
#include "lib/routing/route_table.h"
#include "proxy/http/response_flags.h"
#include "proxy/http/routes.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class Worker;

// What TLS adds to the facts of a downstream connection.
struct TlsFacts {
  std::string server_name;             // SNI, also where TLS only passes through
  const net::TlsPeer* peer = nullptr;  // the record layer's, which lives as long; after a handshake
  // Of our own certificate, or in its place what the peer's tells of our trust domain.
  std::string_view local_uri_san;
  std::string derived_uri_san;
  std::string client_cert_element;  // of x-forwarded-client-cert; "" = none is sent
};

// Facts of the downstream connection. Many connections are idle, so what is seldom asked for is no
// part of it or made when it is asked for: texts of addresses, what a PROXY header said, TLS.
struct DownstreamFacts {
  struct Proxied {
    net::Address direct_remote;  // the socket's peer
    std::shared_ptr<const net::ProxyHeader> header;
  };
  uint64_t id = 0;
  net::Address remote;  // the client, as a PROXY header told it or as the socket knows it
  net::Address local;   // where the peer wanted to go: the original destination
  std::string_view filter_chain_name;
  std::unique_ptr<const Proxied> proxied;  // nullptr: no PROXY header was sent
  std::unique_ptr<TlsFacts> tls;           // nullptr: no TLS was seen
  Direction direction = Direction::kUnspecified;
  bool is_tls = false;
  bool is_mutual_tls = false;  // the peer showed a certificate

  const net::Address& direct_remote() const { return proxied ? proxied->direct_remote : remote; }
  const net::ProxyHeader* proxy_header() const { return proxied ? proxied->header.get() : nullptr; }
  std::string_view server_name() const { return tls ? tls->server_name : std::string_view(); }
  std::string_view peer_uri_san() const { return Peer(&net::TlsPeer::uri_san); }
  std::string_view peer_subject() const { return Peer(&net::TlsPeer::subject); }
  std::string_view tls_version() const { return Peer(&net::TlsPeer::version); }
  std::string_view tls_cipher() const { return Peer(&net::TlsPeer::cipher); }
  std::string_view local_uri_san() const { return tls ? tls->local_uri_san : std::string_view(); }

 private:
  std::string_view Peer(std::string_view net::TlsPeer::* fact) const {
    return tls && tls->peer != nullptr ? tls->peer->*fact : std::string_view();
  }
};

// What metadata exchange learned of the other side. Immutable; cached per worker.
struct PeerInfo {
  std::string id;
  std::string workload, workload_namespace, canonical_service, canonical_revision;
  std::string app, version, cluster;
};

struct StreamInfo {
  static constexpr size_t kKeptHeadersMax = 16;
  struct KeptHeader {
    std::string_view name, value;
  };

  Worker* worker = nullptr;
  const DownstreamFacts* downstream = nullptr;
  http::RequestHead* request = nullptr;
  http::ResponseHead* response = nullptr;  // while one is there; see the captured fields below
  Arena* arena = nullptr;                  // lives until the stream was logged
  uint64_t random = 0;
  std::string_view client_ip;  // from X-Forwarded-For when it is believed; "" = the peer's

  std::shared_ptr<const RoutePin> pin;
  routing::Found route;
  const routing::WeightedCluster* weighted = nullptr;
  ClusterId cluster = kNoId;
  const ClusterInfo* cluster_info = nullptr;
  std::string_view cluster_name;

  std::shared_ptr<const PeerInfo> downstream_peer;
  std::shared_ptr<const PeerInfo> upstream_peer;
  std::span<const std::string> upstream_alpn;  // chosen by the ALPN filter
  std::string_view original_path;              // before a rewrite; "" = not rewritten

  // The attempt under way or last made. The host's facts are copied: hosts may go before the log.
  const HostInfo* upstream_host = nullptr;  // valid while the attempt is
  net::Address upstream_address;
  net::Address upstream_local;
  std::string_view upstream_workload;  // in `arena`
  std::string_view upstream_uri_san;   // in `arena`
  std::string_view upstream_failure;   // transport failure reason, in `arena`
  // Likewise, of the client's connection; of requests it is not told (Envoy).
  std::string_view downstream_failure;
  uint32_t attempts = 0;

  int status = 0;  // sent to the client; 0 = none was
  ResponseFlags flags;
  std::string_view details;  // "via_upstream", "route_not_found" …
  std::string_view termination_details;
  std::string_view grpc_status;            // as in the response's head or trailers, in `arena`
  std::string_view upstream_service_time;  // as sent, in `arena`
  std::string_view local_reply_body;       // ours, before local_reply_config changed it
  bool is_grpc = false;
  bool is_local = false;  // the response is ours
  bool is_tcp = false;    // a connection below HTTP: the request is empty
  std::string_view tunnel_headers, tunnel_trailers;  // of its tunnel's answer, as JSON
  std::string_view log_type = "DownstreamEnd";
  bool is_cors_preflight = false;
  bool has_peer_headers = false;  // the client offered metadata exchange
  std::string_view cors_origin;   // allowed by the route's policy

  std::span<const KeptHeader> kept_headers;  // of the response, those that logs ask for; in `arena`
  uint64_t request_body_bytes = 0, response_body_bytes = 0;
  uint64_t request_head_bytes = 0, response_head_bytes = 0;
  WallTime start_wall{};
  MonotonicTime start{};
  MonotonicTime request_end{};
  MonotonicTime upstream_start{};
  MonotonicTime response_start{};
  MonotonicTime end{};
};

}  // namespace meltemi::proxy
