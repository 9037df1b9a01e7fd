// SPDX-License-Identifier: Apache-2.0
// The rules of each kind, for validate.cc.
#pragma once

#include <string_view>

#include "api/networking/v1/destination_rule.pb.h"
#include "api/networking/v1/gateway.pb.h"
#include "api/networking/v1/service_entry.pb.h"
#include "api/networking/v1/virtual_service.pb.h"
#include "api/security/v1/peer_authentication.pb.h"
#include "lib/config/checker.h"

namespace meltemi::config {

// What the rules look at: the spec's path, the object's name and namespace.
struct RuleContext {
  const Checker& check;
  const FieldPath& spec;
  std::string_view ns;
  bool is_of_gateway_api = false;  // made from a Gateway of the Gateway API: hosts may be hidden
};

void ValidateVirtualService(const istio::networking::v1::VirtualService& service,
                            const RuleContext& context);
// The parts of an HTTP route that do not choose a destination.
void ValidateHttpActions(const istio::networking::v1::HTTPRoute& route, const FieldPath& path,
                         const Checker& check);
void ValidateDestinationRule(const istio::networking::v1::DestinationRule& rule,
                             const RuleContext& context);
void ValidateLoadBalancer(const istio::networking::v1::LoadBalancerSettings& settings,
                          const FieldPath& path, const Checker& check);
void ValidateGateway(const istio::networking::v1::Gateway& gateway, const RuleContext& context);
void ValidateServiceEntry(const istio::networking::v1::ServiceEntry& entry,
                          const RuleContext& context);
void ValidatePeerAuthentication(const istio::security::v1::PeerAuthentication& policy,
                                const RuleContext& context);

}  // namespace meltemi::config
