// SPDX-License-Identifier: Apache-2.0
// Envoy's bootstrap file, YAML or JSON: node, admin address, static resources. Control thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/address.h"
#include "proxy/config/sink.h"
#include "proxy/overload/overload_config.h"

namespace meltemi::proxy {

struct Bootstrap {
  using Resources = std::vector<std::pair<std::string, std::string>>;  // name, serialized

  std::string node_id, node_cluster, node_metadata_json = "{}";
  std::string region, zone, sub_zone;
  bool rejects_path_fragments = true;  // Envoy's default; Istio's runtime layer says otherwise
  std::optional<net::Address> admin;
  Resources secrets, clusters, listeners;
  OverloadConfig overload;
  std::string serialized;  // the whole, for dumps
};

inline constexpr size_t kBootstrapBytesMax = 64 * 1024 * 1024;

// Unknown fields are ignored, as Envoy does under Istio's agent; an unknown extension is an error
// that names its type.
StatusOr<Bootstrap> ParseBootstrap(std::string_view text);
StatusOr<Bootstrap> LoadBootstrap(const std::string& path);

// Gives the static resources to the sink and commits; the first refusal is the error.
Status ApplyStatic(const Bootstrap& bootstrap, ConfigSink& sink, std::function<void()> adopted);

}  // namespace meltemi::proxy
