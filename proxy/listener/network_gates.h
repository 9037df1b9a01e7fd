// SPDX-License-Identifier: Apache-2.0
// Network filters that are not the last of their chain: they judge a connection once, when all of
// it but its bytes is known (addresses, server name, certificate), before any handler has it.
// Immutable, shared by the workers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/routing/string_match.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/listener/chain_matcher.h"

namespace meltemi::telemetry {
class Family;
class Registry;
}  // namespace meltemi::telemetry

namespace meltemi::proxy {

// envoy.filters.network.rbac: a permission or principal, as a tree.
struct AccessRule {
  enum class Kind : uint8_t {
    kAny,
    kAnd,
    kOr,
    kNot,
    kDestinationIp,
    kDestinationPorts,  // [port_begin, port_end)
    kServerName,
    kAuthenticated,  // by a certificate; `name` empty: any
    kRemoteIp,
    kDirectRemoteIp,
  };
  Kind kind = Kind::kAny;
  std::vector<AccessRule> parts = {};
  IpPrefix prefix = {};
  uint32_t port_begin = 0, port_end = 0;
  std::vector<routing::StringMatch> name = {};  // one or none

  bool Matches(const AcceptedConnection& connection) const;
};

struct AccessPolicy {
  AccessRule permission, principal;
};

struct AccessRules {
  enum class Action : uint8_t { kAllow, kDeny, kLog };
  Action action = Action::kAllow;
  std::map<std::string, AccessPolicy> policies;  // judged by name, as Envoy does

  struct Judgement {
    bool is_allowed = true;
    std::string policy = "none";  // that decided
  };
  Judgement Judge(const AcceptedConnection& connection) const;
};

struct AccessGateConfig {
  std::unique_ptr<const AccessRules> rules, shadow_rules;  // nullptr: none
  std::string stat_prefix, shadow_stat_prefix;
  Duration denial_delay{};
};
std::shared_ptr<const ConnectionGate> NewAccessGate(AccessGateConfig config,
                                                    telemetry::Registry* registry);

// envoy.filters.network.connection_limit, over all workers.
struct ConnectionLimitConfig {
  std::string stat_prefix;
  uint64_t connections_max = 1;
  Duration delay{};  // before what is too much is closed
};
std::shared_ptr<const ConnectionGate> NewConnectionLimit(ConnectionLimitConfig config,
                                                         telemetry::Registry* registry);

// envoy.filters.network.sni_cluster: the cluster is named by the server name.
std::shared_ptr<const ConnectionGate> NewServerNameCluster();

// envoy.filters.network.direct_response: says its text and closes.
std::shared_ptr<const ChainHandler> NewDirectResponse(std::string text);

}  // namespace meltemi::proxy
