// SPDX-License-Identifier: Apache-2.0
// Network filters that stand before a terminal one, and direct_response. What would let a
// connection in that a rule keeps out is refused by name.
#include <fmt/format.h>

#include <fstream>

#include "envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb.h"
#include "envoy/extensions/filters/network/direct_response/v3/config.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/listener_compiler.h"
#include "proxy/http/known_fields.h"
#include "proxy/listener/network_gates.h"

namespace meltemi::proxy {
namespace {

namespace network = envoy::extensions::filters::network;
namespace v3 = envoy::config::rbac::v3;
using Kind = AccessRule::Kind;

constexpr int kRuleDepthMax = 32;

Status TooDeep() {
  return absl::InvalidArgumentError(fmt::format("rules nest deeper than {} levels", kRuleDepthMax));
}

StatusOr<routing::StringMatch> CompileText(const envoy::type::matcher::v3::StringMatcher& from) {
  using routing::StringMatch;
  const bool ignores_case = from.ignore_case();
  switch (from.match_pattern_case()) {
    case envoy::type::matcher::v3::StringMatcher::kExact:
      return StringMatch::Create(StringMatch::Kind::kExact, from.exact(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kPrefix:
      return StringMatch::Create(StringMatch::Kind::kPrefix, from.prefix(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kSuffix:
      return StringMatch::Create(StringMatch::Kind::kSuffix, from.suffix(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kContains:
      return StringMatch::Create(StringMatch::Kind::kContains, from.contains(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kSafeRegex:
      return StringMatch::Create(StringMatch::Kind::kRegex, from.safe_regex().regex());
    default:
      return Unsupported("a string matcher other than exact, prefix, suffix, contains, safe_regex");
  }
}

// A prefix ends in a dot, as Envoy joins them.
std::string StatPrefix(const std::string& from) {
  return from.empty() || from.ends_with('.') ? from : from + '.';
}

StatusOr<AccessRule> Address(Kind kind, const envoy::config::core::v3::CidrRange& range) {
  AccessRule rule{.kind = kind};
  MELTEMI_ASSIGN_OR_RETURN(rule.prefix,
                           IpPrefix::Parse(range.address_prefix(), range.prefix_len().value()));
  return rule;
}

StatusOr<AccessRule> Text(Kind kind, const envoy::type::matcher::v3::StringMatcher& from) {
  AccessRule rule{.kind = kind};
  MELTEMI_ASSIGN_OR_RETURN(routing::StringMatch match, CompileText(from));
  rule.name.push_back(std::move(match));
  return rule;
}

AccessRule Ports(uint32_t begin, uint32_t end) {
  return {.kind = Kind::kDestinationPorts, .port_begin = begin, .port_end = end};
}

// Several rules as one; `compile` makes each.
template <typename List, typename Compile>
StatusOr<AccessRule> Join(Kind kind, const List& from, const Compile& compile) {
  AccessRule rule{.kind = kind};
  for (const auto& part : from) {
    MELTEMI_ASSIGN_OR_RETURN(AccessRule compiled, compile(part));
    rule.parts.push_back(std::move(compiled));
  }
  if (rule.parts.empty()) return absl::InvalidArgumentError("a list of rules is empty");
  return rule;
}

StatusOr<AccessRule> CompilePermission(const v3::Permission& from, int depth) {
  if (depth > kRuleDepthMax) return TooDeep();
  const auto nested = [depth](const v3::Permission& part) {
    return CompilePermission(part, depth + 1);
  };
  switch (from.rule_case()) {
    case v3::Permission::kAny:
      return AccessRule{};
    case v3::Permission::kAndRules:
      return Join(Kind::kAnd, from.and_rules().rules(), nested);
    case v3::Permission::kOrRules:
      return Join(Kind::kOr, from.or_rules().rules(), nested);
    case v3::Permission::kNotRule:
      return Join(Kind::kNot, std::array{from.not_rule()}, nested);
    case v3::Permission::kDestinationIp:
      return Address(Kind::kDestinationIp, from.destination_ip());
    case v3::Permission::kDestinationPort:
      return Ports(from.destination_port(), from.destination_port() + 1);
    case v3::Permission::kDestinationPortRange:
      return Ports(static_cast<uint32_t>(from.destination_port_range().start()),
                   static_cast<uint32_t>(from.destination_port_range().end()));
    case v3::Permission::kRequestedServerName:
      return Text(Kind::kServerName, from.requested_server_name());
    default:
      return Unsupported(
          fmt::format("permissions: rule {} on a connection", static_cast<int>(from.rule_case())));
  }
}

StatusOr<AccessRule> CompilePrincipal(const v3::Principal& from, int depth) {
  if (depth > kRuleDepthMax) return TooDeep();
  const auto nested = [depth](const v3::Principal& part) {
    return CompilePrincipal(part, depth + 1);
  };
  switch (from.identifier_case()) {
    case v3::Principal::kAny:
      return AccessRule{};
    case v3::Principal::kAndIds:
      return Join(Kind::kAnd, from.and_ids().ids(), nested);
    case v3::Principal::kOrIds:
      return Join(Kind::kOr, from.or_ids().ids(), nested);
    case v3::Principal::kNotId:
      return Join(Kind::kNot, std::array{from.not_id()}, nested);
    case v3::Principal::kAuthenticated:
      if (!from.authenticated().has_principal_name()) return AccessRule{Kind::kAuthenticated};
      return Text(Kind::kAuthenticated, from.authenticated().principal_name());
    case v3::Principal::kSourceIp:
      return Address(Kind::kRemoteIp, from.source_ip());
    case v3::Principal::kRemoteIp:
      return Address(Kind::kRemoteIp, from.remote_ip());
    case v3::Principal::kDirectRemoteIp:
      return Address(Kind::kDirectRemoteIp, from.direct_remote_ip());
    case v3::Principal::kFilterState:
      // istiod names the peer of mutual TLS so; without tunnels nothing else sets it.
      if (from.filter_state().key() == "io.istio.peer_principal" &&
          from.filter_state().has_string_match()) {
        return Text(Kind::kAuthenticated, from.filter_state().string_match());
      }
      return Unsupported(fmt::format("principals: filter_state \"{}\"", from.filter_state().key()));
    default:
      return Unsupported(fmt::format("principals: identifier {} on a connection",
                                     static_cast<int>(from.identifier_case())));
  }
}

StatusOr<std::unique_ptr<const AccessRules>> CompileRules(const v3::RBAC& from) {
  auto to = std::make_unique<AccessRules>();
  if (from.action() == v3::RBAC::DENY) to->action = AccessRules::Action::kDeny;
  if (from.action() == v3::RBAC::LOG) to->action = AccessRules::Action::kLog;
  if (from.audit_logging_options().logger_configs_size() > 0) {
    return Unsupported("audit_logging_options.logger_configs");
  }
  for (const auto& [name, policy] : from.policies()) {
    if (policy.has_condition() || policy.has_checked_condition()) {
      return Unsupported(fmt::format("policies.{}.condition", name));
    }
    auto permission = Join(Kind::kOr, policy.permissions(),
                           [](const v3::Permission& one) { return CompilePermission(one, 0); });
    if (!permission.ok()) return WithContext(permission.status(), "policies." + name);
    auto principal = Join(Kind::kOr, policy.principals(),
                          [](const v3::Principal& one) { return CompilePrincipal(one, 0); });
    if (!principal.ok()) return WithContext(principal.status(), "policies." + name);
    to->policies[name] = {*std::move(permission), *std::move(principal)};
  }
  return std::unique_ptr<const AccessRules>(std::move(to));
}

StatusOr<std::shared_ptr<const ConnectionGate>> CompileAccess(std::string_view serialized,
                                                              telemetry::Registry* registry) {
  network::rbac::v3::RBAC from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("RBAC cannot be decoded");
  }
  if (from.has_matcher()) return Unsupported("matcher");
  if (from.has_shadow_matcher()) return Unsupported("shadow_matcher");
  AccessGateConfig to;
  to.stat_prefix = StatPrefix(from.stat_prefix());
  to.shadow_stat_prefix = StatPrefix(from.shadow_rules_stat_prefix());
  if (from.has_delay_deny()) to.denial_delay = CompileDuration(from.delay_deny());
  if (from.has_rules()) {
    auto rules = CompileRules(from.rules());
    if (!rules.ok()) return WithContext(rules.status(), "rules");
    to.rules = *std::move(rules);
  }
  if (from.has_shadow_rules()) {
    auto rules = CompileRules(from.shadow_rules());
    if (!rules.ok()) return WithContext(rules.status(), "shadow_rules");
    to.shadow_rules = *std::move(rules);
  }
  return NewAccessGate(std::move(to), registry);
}

StatusOr<std::shared_ptr<const ConnectionGate>> CompileLimit(std::string_view serialized,
                                                             telemetry::Registry* registry) {
  network::connection_limit::v3::ConnectionLimit from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("ConnectionLimit cannot be decoded");
  }
  ConnectionLimitConfig to;
  to.stat_prefix = from.stat_prefix();
  to.connections_max = from.max_connections().value();
  if (to.connections_max == 0) {
    return absl::InvalidArgumentError("max_connections must be at least 1");
  }
  if (from.has_runtime_enabled() && !from.runtime_enabled().default_value().value()) {
    to.connections_max = UINT64_MAX;  // there is no runtime that could switch it on
  }
  if (from.has_delay()) to.delay = CompileDuration(from.delay());
  return NewConnectionLimit(std::move(to), registry);
}

StatusOr<std::shared_ptr<const ChainHandler>> CompileDirect(std::string_view serialized) {
  constexpr size_t kTextBytesMax = 64 * 1024;
  network::direct_response::v3::Config from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("direct_response cannot be decoded");
  }
  const auto& response = from.response();
  if (response.has_filename() || response.has_environment_variable()) {
    return Unsupported("response: a source other than inline_string and inline_bytes");
  }
  std::string text =
      response.has_inline_bytes() ? response.inline_bytes() : response.inline_string();
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("response is longer than {} bytes", kTextBytesMax));
  }
  return NewDirectResponse(std::move(text));
}

}  // namespace

ChainCompiler DirectResponseCompiler() {
  return [](std::string_view serialized, const ChainContext&) { return CompileDirect(serialized); };
}

GateCompilers NetworkGateCompilers(telemetry::Registry* registry) {
  constexpr std::string_view kNetwork = "envoy.extensions.filters.network.";
  return {
      {fmt::format("{}rbac.v3.RBAC", kNetwork),
       [registry](std::string_view serialized) { return CompileAccess(serialized, registry); }},
      {fmt::format("{}connection_limit.v3.ConnectionLimit", kNetwork),
       [registry](std::string_view serialized) { return CompileLimit(serialized, registry); }},
      {network::sni_cluster::v3::SniCluster::descriptor()->full_name(),
       [](std::string_view) -> StatusOr<std::shared_ptr<const ConnectionGate>> {
         return NewServerNameCluster();
       }},
  };
}

}  // namespace meltemi::proxy
