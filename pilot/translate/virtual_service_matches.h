// SPDX-License-Identifier: Apache-2.0
// Conditions of a VirtualService's route as Envoy's. Pure functions.
#pragma once

#include "api/networking/v1/virtual_service.pb.h"

namespace envoy::config::route::v3 {
class RouteMatch;
}
namespace envoy::type::matcher::v3 {
class StringMatcher;
}

namespace meltemi::pilot {

void SetRouteMatch(const istio::networking::v1::HTTPMatchRequest& from,
                   envoy::config::route::v3::RouteMatch& to);
void SetStringMatch(const istio::networking::v1::StringMatch& from,
                    envoy::type::matcher::v3::StringMatcher& to);

}  // namespace meltemi::pilot
