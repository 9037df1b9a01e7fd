// SPDX-License-Identifier: Apache-2.0
// The two doors from xDS messages into the HTTP path. Control thread only; what they return is
// immutable and shared by the workers. Everything the HTTP path cannot honour safely is refused
// with a message that names the field.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "lib/base/status.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/chain_handler.h"

namespace meltemi::telemetry {
class Registry;
class StatFamilies;
}  // namespace meltemi::telemetry

namespace meltemi::proxy {

// What the HTTP path must know of the process it runs in; the same for every chain.
struct HttpProcess {
  std::string node_id;
  std::string node_metadata_json;  // of the bootstrap's node: names, labels, for metadata exchange
  std::string version = MELTEMI_VERSION;
  // A "#fragment" in a path is refused as Envoy does, or cut off as Envoy does under Istio
  // (runtime key envoy.reloadable_features.http_reject_path_with_fragment).
  bool rejects_path_fragments = false;
  telemetry::Registry* metrics = nullptr;  // outlives every chain; nullptr = no request metrics
  // Of connection managers; nullptr: Envoy's own statistics are not counted.
  std::shared_ptr<const telemetry::StatFamilies> http_stats = nullptr;
  size_t workers = 1;
};

// A serialized envoy.config.route.v3.RouteConfiguration (RDS).
StatusOr<std::shared_ptr<const RouteTableBase>> CompileRoutes(std::string_view serialized,
                                                              ClusterNames& clusters);

// For the registry of network filters: the type URL's last part is
// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.
ChainCompiler HttpChainCompiler(HttpProcess process);

}  // namespace meltemi::proxy
