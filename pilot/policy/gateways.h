// SPDX-License-Identifier: Apache-2.0
// Which servers of which Gateways a router serves (istio-api.md §3.2). Pure functions.
#pragma once

#include <vector>

#include "lib/base/status.h"
#include "lib/config/object.h"
#include "pilot/model/proxy_facts.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

// Unimplemented when servers of a Gateway are left out, with the field that says why.
Status JudgeServers(const config::Object& object);

// `gateways` = of all namespaces, oldest first (PILOT_SCOPE_GATEWAY_TO_NAMESPACE=false); `ports` =
// what the Services in front of the router send where.
GatewayServers FindGatewayServers(const std::vector<config::ObjectPtr>& gateways,
                                  const ProxyFacts& router, const InboundPorts& ports);

}  // namespace meltemi::pilot
