// SPDX-License-Identifier: Apache-2.0
// What a VirtualService's route does to a request, apart from choosing clusters: retries, faults,
// redirects and so on, as Envoy's messages. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "api/networking/v1/destination_rule.pb.h"
#include "api/networking/v1/virtual_service.pb.h"
#include "pilot/model/proxy_facts.h"

namespace envoy::config::route::v3 {
class RedirectAction;
class DirectResponseAction;
class Route;
class RouteAction;
class RetryPolicy;
}  // namespace envoy::config::route::v3
namespace envoy::type::v3 {
class FractionalPercent;
}

namespace meltemi::pilot {

void SetPercent(double percent, envoy::type::v3::FractionalPercent& to);

// The whole response's, and the most that a gRPC caller may ask for. Zero = none: Envoy's own
// default of 15 s holds when nothing is said.
void SetTimeout(const google::protobuf::Duration& timeout,
                envoy::config::route::v3::RouteAction& to);

// Istio's policy for requests that say nothing else: two retries of what cannot have had effects.
void SetDefaultRetries(envoy::config::route::v3::RetryPolicy& to);
// `is_hashed`: the destination is chosen by hash, so another host than the chosen one is no option.
void SetRetries(const istio::networking::v1::HTTPRoute& from, const ProxyFacts& proxy,
                bool is_hashed, envoy::config::route::v3::RouteAction& to);

// False for a code that Envoy has no redirect of; such a route is left out, as in Istio.
bool SetRedirect(const istio::networking::v1::HTTPRedirect& from, uint32_t port, bool is_tls,
                 envoy::config::route::v3::RedirectAction& to);
void SetDirectResponse(const istio::networking::v1::HTTPDirectResponse& from,
                       envoy::config::route::v3::DirectResponseAction& to);

// Per-route settings of the filters envoy.filters.http.fault and envoy.filters.http.cors.
void AddFault(const istio::networking::v1::HTTPFaultInjection& from,
              envoy::config::route::v3::Route& to);
void AddCors(const istio::networking::v1::CorsPolicy& from, envoy::config::route::v3::Route& to);

// Nothing when the policy does not choose by hash.
void AddHashPolicy(const istio::networking::v1::TrafficPolicy& policy,
                   envoy::config::route::v3::RouteAction& to);

}  // namespace meltemi::pilot
