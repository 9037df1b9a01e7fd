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

// Facts of the downstream connection; texts are made once per connection.
struct DownstreamFacts {
  uint64_t id = 0;
  Direction direction = Direction::kUnspecified;
  bool is_tls = false;
  bool is_mutual_tls = false;  // the peer showed a certificate
  net::Address remote;         // the client, as a PROXY header told it or as the socket knows it
  std::string direct_text;     // the socket's peer where that is another; else ""
  std::shared_ptr<const net::ProxyHeader> proxy_header;  // nullptr: none was sent
  net::Address local;  // where the peer wanted to go: the original destination
  std::string remote_text, remote_ip, local_text, local_ip;
  std::string server_name;
  std::string_view filter_chain_name;
  std::string local_uri_san;  // of our own certificate
  std::string peer_uri_san, peer_dns_san, peer_subject, peer_certificate_der;
  std::string tls_version, tls_cipher;
  std::string client_cert_element;  // of x-forwarded-client-cert; "" = none is sent
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

  // The client's address for logs: one from X-Forwarded-For has no port.
  std::string_view client_text() const {
    return client_ip.empty() ? std::string_view(downstream->remote_text) : client_ip;
  }
};

}  // namespace meltemi::proxy
