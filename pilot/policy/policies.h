// SPDX-License-Identifier: Apache-2.0
// Configuration objects after selection, inheritance and merging: what holds for one proxy's
// traffic. Immutable values; messages are Istio's own, with names made full and defaults kept
// unset.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/networking/v1/destination_rule.pb.h"
#include "api/networking/v1/gateway.pb.h"
#include "api/networking/v1/virtual_service.pb.h"
#include "lib/config/object.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {

// The DestinationRules that hold for a service as seen from a namespace (istio-control-plane.md
// §1.4: lookup and merge).
struct DestinationPolicy {
  struct Subset {
    std::string name;
    std::map<std::string, std::string> labels;
    istio::networking::v1::TrafficPolicy policy;  // the subset's laid over the rule's
  };
  istio::networking::v1::TrafficPolicy policy;
  std::vector<Subset> subsets;
  std::vector<config::ObjectKey> origins;

  const Subset* Find(const std::string& subset) const;
};
using DestinationPolicyPtr = std::shared_ptr<const DestinationPolicy>;  // nullptr = no rule

// A policy's settings for one port: portLevelSettings laid over the whole as Istio does it (a port
// level setting replaces the field as a whole).
istio::networking::v1::TrafficPolicy PolicyOfPort(
    const istio::networking::v1::TrafficPolicy& policy, uint32_t port);

// A VirtualService with every host and destination host made a full name, delegates resolved.
struct Routing {
  config::ObjectKey origin;
  istio::networking::v1::VirtualService spec;
};
using RoutingPtr = std::shared_ptr<const Routing>;
// In Istio's order: private to the viewer, exported to it by name, public; each oldest first.
using RoutingList = std::vector<RoutingPtr>;

enum class MutualTls : uint8_t { kDisable, kPermissive, kStrict };

// PeerAuthentication for one workload: mesh, namespace, workload and port levels resolved.
struct InboundTls {
  MutualTls mode = MutualTls::kPermissive;
  std::map<uint32_t, MutualTls> ports;  // of the workload, not of the Service
  MutualTls ModeOf(uint32_t port) const {
    const auto found = ports.find(port);
    return found == ports.end() ? mode : found->second;
  }
  bool operator==(const InboundTls&) const = default;
};

// A Service port as one workload serves it: what its inbound side is made of.
struct InboundPort {
  ServicePtr service;
  ServicePort port;
  uint32_t target_port = 0;  // on the workload
  bool operator==(const InboundPort&) const = default;
};
using InboundPorts = std::vector<InboundPort>;  // by target port, then service age

// One server of a Gateway that this router serves.
struct GatewayServer {
  config::ObjectKey gateway;  // "ns/name" is what VirtualServices say
  istio::networking::v1::Server server;
  uint32_t bind_port = 0;  // the Service's target port for server.port.number
  bool operator==(const GatewayServer& other) const;
};
using GatewayServers = std::vector<GatewayServer>;  // oldest Gateway first

}  // namespace meltemi::pilot
