// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/gateway_routes.h"
#include "pilot/translate/sidecar_routes.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

std::optional<uint32_t> ParsePort(std::string_view text) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
    return std::nullopt;
  }
  return port;
}

}  // namespace

std::unique_ptr<envoy::config::route::v3::RouteConfiguration> BuildRoutes(Reader& reader,
                                                                          const ProxyFacts& proxy,
                                                                          const std::string& name) {
  auto routes = std::make_unique<envoy::config::route::v3::RouteConfiguration>();
  SetRouteDefaults(name, *routes);
  if (proxy.role == Role::kRouter) {
    AddGatewayRoutes(reader, proxy, name, *routes);
    return routes;
  }
  const size_t colon = name.rfind(':');
  const auto port = ParsePort(colon == std::string::npos ? name : name.substr(colon + 1));
  if (!port) return routes;
  if (colon == std::string::npos) {
    AddPortRoutes(reader, proxy, *port, *routes);
  } else {
    AddServiceRoutes(reader, proxy, name.substr(0, colon), *port, *routes);
  }
  return routes;
}

}  // namespace meltemi::pilot
