// SPDX-License-Identifier: Apache-2.0
// A DestinationRule's traffic policy as Envoy's cluster settings (istio-control-plane.md §2.6).
// Pure functions.
#pragma once

#include "api/mesh/v1alpha1/config.pb.h"
#include "pilot/policy/policies.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace meltemi::pilot {

// How a cluster speaks HTTP upstream.
enum class UpstreamHttp : uint8_t {
  kHttp1,
  kHttp2,
  kLikeDownstream,  // detected ports: what the client spoke
};
// `can_detect`: the proxy detects protocols (sidecars do, routers are told).
UpstreamHttp UpstreamHttpOf(Protocol protocol, const istio::networking::v1::TrafficPolicy& policy,
                            bool can_detect);

// Circuit breakers (without limits unless set), connect timeout, keep-alive.
void SetConnectionPool(const istio::mesh::v1alpha1::MeshConfig& mesh,
                       const istio::networking::v1::TrafficPolicy& policy,
                       envoy::config::cluster::v3::Cluster& cluster);
struct HttpSettings {
  UpstreamHttp protocol = UpstreamHttp::kHttp1;
  bool has_automatic_sni = false;             // from the request's authority
  bool has_automatic_san_validation = false;  // the certificate must be of that name
};
// HttpProtocolOptions; left out where Envoy's defaults hold.
void SetHttpOptions(const istio::networking::v1::TrafficPolicy& policy,
                    const HttpSettings& settings, envoy::config::cluster::v3::Cluster& cluster);
// Ejection of endpoints, and the share of healthy ones below which health is ignored.
void SetOutlierDetection(const istio::networking::v1::TrafficPolicy& policy,
                         envoy::config::cluster::v3::Cluster& cluster);
// The balancer. The discovery type must be set: ORIGINAL_DST has no choice, and PASSTHROUGH makes
// any cluster one.
void SetLoadBalancer(const istio::networking::v1::TrafficPolicy& policy,
                     envoy::config::cluster::v3::Cluster& cluster);

}  // namespace meltemi::pilot
