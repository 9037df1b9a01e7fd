// SPDX-License-Identifier: Apache-2.0
// A compiled cluster: what the control thread makes of CDS, EDS, DNS and secrets. Immutable, shared
// by the workers through the snapshot.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/balance/balancer.h"
#include "lib/tls/context.h"
#include "proxy/upstream/preamble.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

enum class Discovery : uint8_t { kStatic, kStrictDns, kLogicalDns, kEds, kOriginalDst };
enum class UpstreamProtocol : uint8_t { kHttp1, kHttp2, kDownstream, kAuto };

using StringPairs = std::vector<std::pair<std::string, std::string>>;

// How bytes travel to a host: plain or TLS. A rotation of secrets replaces `tls`; connections live
// on.
struct Transport {
  std::string name;
  StringPairs match;  // endpoint metadata that selects it; the cluster's own transport matches all
  bool is_tls = false;
  bool is_sni_automatic = false;                  // auto_host_sni: the host's name
  std::shared_ptr<const tls::ClientContext> tls;  // nullptr while its secrets have not come
  std::shared_ptr<const ProxyProtocolOut> proxy;  // nullptr: no header goes ahead
};

// Envoy's defaults; UINT32_MAX (what istiod writes) means no limit.
struct Breakers {
  uint32_t connections_max = 1024;
  uint32_t pending_max = 1024;
  uint32_t requests_max = 1024;
  uint32_t retries_max = 3;
  bool tells_remaining = false;  // track_remaining: gauges of what is left
};

struct ClusterConfig {
  ClusterInfo info;
  Discovery discovery = Discovery::kStatic;
  UpstreamProtocol protocol = UpstreamProtocol::kHttp1;
  Breakers breakers;
  http::Limits http_limits;
  Duration idle_timeout = std::chrono::hours(1);  // 0 = never
  uint32_t requests_per_connection_max = 0;       // 0 = no limit
  size_t connection_buffer_bytes = 1024 * 1024;
  balance::BalancerConfig balancing;
  bool is_hashed_by_hostname = false;
  bool is_sni_from_authority = false;  // upstream_http_protocol_options.auto_sni
  bool is_san_from_authority = false;  // upstream_http_protocol_options.auto_san_validation
  std::vector<Transport> transports;   // in order of preference, the default last
  std::optional<net::Address> bind;    // source address of connections

  // ORIGINAL_DST
  std::optional<uint16_t> port_override;
  bool uses_destination_header = false;  // x-envoy-original-dst-host
  Duration cleanup_interval = std::chrono::seconds(5);

  // Equal shapes may share connections: a hash of what decides how a connection is made, without
  // secrets.
  uint64_t connection_shape = 0;
};

struct Endpoint {
  HostInfo info;
  uint32_t weight = 1;
  balance::Health health = balance::Health::kHealthy;
  uint32_t locality = 0;  // index
  std::string hash_key;   // metadata envoy.lb hash_key; "" = address
};

// Endpoints before they meet their cluster's settings.
struct Assignment {
  std::vector<Endpoint> endpoints;
  std::vector<balance::HostSet::Locality> localities;
  uint32_t overprovisioning_percent = 140;
};

struct EndpointSet {
  std::vector<std::shared_ptr<const HostInfo>> hosts;
  std::vector<balance::Health> health;
  std::vector<uint32_t> weight;
  std::vector<uint8_t> transport;  // index into ClusterConfig::transports
  std::vector<uint32_t> by_key;    // host indices sorted by HostKeyLess
  std::unique_ptr<const balance::Balancer> balancer;

  // Index of the host with the same address and hostname; balance::kNoHost when there is none.
  uint32_t Find(const HostInfo& like) const;
};

struct SharedBreakers;

struct CompiledCluster {
  std::shared_ptr<const ClusterConfig> config;
  std::shared_ptr<const EndpointSet> endpoints;  // empty for ORIGINAL_DST
  // Counts of all workers, the same over updates of the cluster; nullptr: this worker's alone.
  std::shared_ptr<SharedBreakers> shared;
};

// Joins endpoints with settings; fails when the balancer refuses its parameters.
StatusOr<std::shared_ptr<const EndpointSet>> BuildEndpoints(const ClusterConfig& config,
                                                            const Assignment& assignment);

}  // namespace meltemi::proxy
