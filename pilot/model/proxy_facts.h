// SPDX-License-Identifier: Apache-2.0
// What of a connected proxy decides its configuration. Proxies with equal facts form a class and
// are served the same bytes; nothing here differs between replicas of one workload. Immutable
// value, a key of the graph.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/xds/source.h"

namespace meltemi::pilot {

enum class Role : uint8_t { kSidecar, kRouter };

struct ProxyFacts {
  Role role = Role::kSidecar;
  std::string ns;
  std::map<std::string, std::string> labels;
  std::string service_account;
  std::string domain = "cluster.local";
  std::string cluster_id = "Kubernetes";
  // Istio's own filters (istio.metadata_exchange, istio.stats, istio.alpn); a stock Envoy, which
  // announces its extensions in node.extensions, lacks them and gets configuration without.
  bool has_istio_filters = true;
  // A proxy of ours, whose `X-` extras (addresses to bind on a plain host) make sense.
  bool is_meltemi = false;

  // InvalidArgument when the node id is not ROLE~IP~NAME.NAMESPACE~DOMAIN.
  static StatusOr<ProxyFacts> Of(const xds::NodeInfo& node);
  // The same without what only the workload's own side depends on: clusters, endpoints and name
  // tables are shared by all sidecars of a namespace.
  ProxyFacts OutboundScope() const;

  auto operator<=>(const ProxyFacts&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ProxyFacts& f) {
    h = H::combine(std::move(h), f.role, f.ns, f.service_account, f.domain, f.cluster_id,
                   f.has_istio_filters, f.is_meltemi);
    for (const auto& [key, value] : f.labels) h = H::combine(std::move(h), key, value);
    return h;
  }
};

}  // namespace meltemi::pilot
