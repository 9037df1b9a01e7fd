// SPDX-License-Identifier: Apache-2.0
// Routes of a router's HTTP servers (istio-control-plane.md §2.13). Pure but for what is read.
#pragma once

#include <string>

#include "pilot/translate/reader.h"

namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace meltemi::pilot {

// `name` is "http.PORT" or "https.PORT.NAME.GATEWAY.NAMESPACE"; nothing is added for another.
void AddGatewayRoutes(Reader& reader, const ProxyFacts& router, const std::string& name,
                      envoy::config::route::v3::RouteConfiguration& to);

}  // namespace meltemi::pilot
