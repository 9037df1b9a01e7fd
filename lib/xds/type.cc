// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "lib/xds/source.h"

namespace meltemi::xds {
namespace {

// In the order of Type.
constexpr std::array<std::string_view, static_cast<size_t>(Type::kCount)> kTypeUrls = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
    "type.googleapis.com/istio.networking.nds.v1.NameTable",
};

}  // namespace

std::string_view TypeUrl(Type type) {
  return type < Type::kCount ? kTypeUrls[static_cast<size_t>(type)] : std::string_view();
}

std::optional<Type> FindType(std::string_view type_url) {
  for (size_t i = 0; i < kTypeUrls.size(); ++i) {
    if (kTypeUrls[i] == type_url) return static_cast<Type>(i);
  }
  return std::nullopt;
}

}  // namespace meltemi::xds
