// SPDX-License-Identifier: Apache-2.0
// Where a service port is served. Immutable values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace meltemi::pilot {

struct Locality {
  std::string region, zone, sub_zone;
  auto operator<=>(const Locality&) const = default;
};

struct Endpoint {
  std::string address;  // IP; a DNS name for services that are resolved; "/path" for a Unix socket
  uint32_t port = 0;
  bool is_ready = true;
  bool is_draining = false;     // terminating and still serving
  uint32_t weight = 0;          // 0 = not said
  bool has_mutual_tls = false;  // a proxy with Istio's identity is in front of it (tlsMode istio)
  std::map<std::string, std::string> labels;
  std::string ns;
  std::string workload;  // "reviews-v1", the Deployment's name
  std::string identity;  // SPIFFE id
  std::string cluster_id;
  Locality locality;
  bool operator==(const Endpoint&) const = default;
};

// Of one service port, in the order they go out: by address, then port.
using EndpointList = std::vector<Endpoint>;
using EndpointsPtr = std::shared_ptr<const EndpointList>;

}  // namespace meltemi::pilot
