// SPDX-License-Identifier: Apache-2.0
// Routes of a sidecar's outbound listeners (istio-control-plane.md §2.10). Pure but for what is
// read.
#pragma once

#include <string>
#include <string_view>

#include "pilot/translate/reader.h"

namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace meltemi::pilot {

// Every service with the port, and what is to happen to requests for none of them.
void AddPortRoutes(Reader& reader, const ProxyFacts& proxy, uint32_t port,
                   envoy::config::route::v3::RouteConfiguration& to);
// Of a listener that serves one service only, since its port's protocol is detected.
void AddServiceRoutes(Reader& reader, const ProxyFacts& proxy, const std::string& host,
                      uint32_t port, envoy::config::route::v3::RouteConfiguration& to);

// What all route configurations have in common, for sidecars and gateways.
void SetRouteDefaults(const std::string& name, envoy::config::route::v3::RouteConfiguration& to);
void SortVirtualHosts(envoy::config::route::v3::RouteConfiguration& to);

}  // namespace meltemi::pilot
