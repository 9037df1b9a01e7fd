// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/virtual_service_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "envoy/config/route/v3/route_components.pb.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"
#include "pilot/translate/virtual_service_actions.h"
#include "pilot/translate/virtual_service_headers.h"
#include "pilot/translate/virtual_service_matches.h"

namespace meltemi::pilot {
namespace {

namespace v1 = istio::networking::v1;
namespace v3 = envoy::config::route::v3;

// What Istio calls a destination without a host.
constexpr std::string_view kUnknownService = "UnknownService";
constexpr uint32_t kMirrorPercentDefault = 100;

bool MayHash(const v1::TrafficPolicy& policy) {
  if (policy.load_balancer().has_consistent_hash()) return true;
  for (const auto& port : policy.port_level_settings()) {
    if (port.load_balancer().has_consistent_hash()) return true;
  }
  return false;
}

// What the destination's rule says requests are told apart by, where it says so.
void AddHashOf(Reader& reader, const std::string& ns, const ClusterName& cluster,
               v3::RouteAction& to) {
  const ServicePtr service = reader.FindService(ns, cluster.host);
  if (service == nullptr || service->host != cluster.host) return;
  const DestinationPolicyPtr policy = reader.Policy(ns, service->key());
  if (policy == nullptr) return;
  const v1::TrafficPolicy* chosen = &policy->policy;
  if (!cluster.subset.empty()) {
    const DestinationPolicy::Subset* subset = policy->Find(cluster.subset);
    if (subset == nullptr) return;
    chosen = &subset->policy;
  }
  // Laying port settings over the whole copies it, for most rules in vain.
  if (MayHash(*chosen)) AddHashPolicy(PolicyOfPort(*chosen, cluster.port), to);
}

// -- mirrors

// False when the mirror is switched off.
bool SetMirrorShare(const v1::HTTPRoute& from, envoy::type::v3::FractionalPercent& to) {
  if (from.has_mirror_percentage()) {
    SetPercent(from.mirror_percentage().value(), to);
    return from.mirror_percentage().value() > 0;
  }
  to.set_numerator(from.has_mirror_percent() ? from.mirror_percent().value()
                                             : kMirrorPercentDefault);
  return to.numerator() > 0;
}

bool SetMirrorShare(const v1::HTTPMirrorPolicy& from, envoy::type::v3::FractionalPercent& to) {
  if (!from.has_percentage()) {
    to.set_numerator(kMirrorPercentDefault);
    return true;
  }
  SetPercent(from.percentage().value(), to);
  return from.percentage().value() > 0;
}

void AddMirror(std::string cluster, const envoy::type::v3::FractionalPercent& share,
               v3::RouteAction& to) {
  auto& mirror = *to.add_request_mirror_policies();
  mirror.set_cluster(std::move(cluster));
  *mirror.mutable_runtime_fraction()->mutable_default_value() = share;
  mirror.mutable_trace_sampled()->set_value(false);
  mirror.set_disable_shadow_host_suffix_append(true);
}

// "host:port/path" of the only destination; with several, the VirtualService's name stands for the
// host.
std::string OperationOf(const v3::Route& route, const std::string& name, uint32_t port) {
  std::string path = "/*";
  switch (route.match().path_specifier_case()) {
    case v3::RouteMatch::kPrefix:
      path = route.match().prefix() + "*";
      break;
    case v3::RouteMatch::kPath:
      path = route.match().path();
      break;
    case v3::RouteMatch::kSafeRegex:
      path = route.match().safe_regex().regex();
      break;
    default:
      break;
  }
  if (const auto cluster = ClusterName::Parse(route.route().cluster())) {
    return fmt::format("{}:{}{}", cluster->host, cluster->port, path);
  }
  return fmt::format("{}:{}{}", name, port, path);
}

class RouteBuilder final {
 public:
  RouteBuilder(Reader& reader, const RouteScope& scope, const Routing& routing)
      : reader_(reader), scope_(scope), routing_(routing) {}

  // False when the route does not apply here. `match` is null for a route that has none.
  bool Build(const v1::HTTPRoute& from, const v1::HTTPMatchRequest* match, v3::Route& to) {
    if (match != nullptr && !Applies(*match)) return false;
    SetName(from, match, to);
    if (match == nullptr) {
      to.mutable_match()->set_prefix("/");
    } else {
      SetRouteMatch(*match, *to.mutable_match());
    }
    SetText("config", OriginPath(routing_.origin),
            (*to.mutable_metadata()->mutable_filter_metadata())["istio"]);
    AddHeaderOperations(from.headers(), to);
    if (!SetAction(from, to)) return false;
    to.mutable_decorator()->set_operation(OperationOf(to, routing_.origin.name, scope_.port));
    if (from.has_fault()) AddFault(from.fault(), to);
    if (from.has_cors_policy()) AddCors(from.cors_policy(), to);
    return true;
  }

 private:
  bool Applies(const v1::HTTPMatchRequest& match) const {
    if (match.port() != 0 && match.port() != scope_.port) return false;
    return IsSourceMatched(scope_, routing_.origin.ns, match);
  }

  static void SetName(const v1::HTTPRoute& from, const v1::HTTPMatchRequest* match, v3::Route& to) {
    to.set_name(from.name());
    if (match == nullptr) return;
    if (!match->name().empty()) to.mutable_name()->append("." + match->name());
    to.set_stat_prefix(match->stat_prefix());
  }

  bool SetAction(const v1::HTTPRoute& from, v3::Route& to) {
    if (from.has_redirect()) {
      return SetRedirect(from.redirect(), scope_.port, scope_.is_tls, *to.mutable_redirect());
    }
    if (from.has_direct_response()) {
      SetDirectResponse(from.direct_response(), *to.mutable_direct_response());
      return true;
    }
    SetForward(from, to);
    return true;
  }

  void SetForward(const v1::HTTPRoute& from, v3::Route& to) {
    v3::RouteAction& action = *to.mutable_route();
    SetTimeout(from.timeout(), action);
    SetRewrites(from, action);
    AddMirrors(from, action);
    if (from.route_size() == 1) {
      SetDestination(from.route(0), to);
    } else {
      SetWeighted(from, action);
    }
    SetRetries(from, scope_.proxy, from.route_size() == 1 && action.hash_policy_size() > 0, action);
  }

  static void SetRewrites(const v1::HTTPRoute& from, v3::RouteAction& to) {
    const v1::HTTPRewrite& rewrite = from.rewrite();
    if (rewrite.has_uri_regex_rewrite()) {
      auto& regex = *to.mutable_regex_rewrite();
      regex.mutable_pattern()->set_regex(rewrite.uri_regex_rewrite().match());
      regex.set_substitution(rewrite.uri_regex_rewrite().rewrite());
    } else if (!rewrite.uri().empty()) {
      to.set_prefix_rewrite(rewrite.uri());
    }
    const std::string authority =
        rewrite.authority().empty() ? AuthorityOf(from.headers()) : rewrite.authority();
    if (!authority.empty()) to.set_host_rewrite_literal(authority);
  }

  void AddMirrors(const v1::HTTPRoute& from, v3::RouteAction& to) {
    envoy::type::v3::FractionalPercent share;
    if (from.has_mirror() && SetMirrorShare(from, share)) {
      AddMirror(ClusterOf(from.mirror()), share, to);
    }
    for (const v1::HTTPMirrorPolicy& mirror : from.mirrors()) {
      share.Clear();
      if (SetMirrorShare(mirror, share)) AddMirror(ClusterOf(mirror.destination()), share, to);
    }
  }

  void SetDestination(const v1::HTTPRouteDestination& from, v3::Route& to) {
    v3::RouteAction& action = *to.mutable_route();
    action.set_cluster(ClusterOf(from.destination()));
    AddHeaderOperations(from.headers(), to);
    const std::string authority = AuthorityOf(from.headers());
    if (!authority.empty() && action.host_rewrite_literal().empty()) {
      action.set_host_rewrite_literal(authority);
    }
    AddHash(action.cluster(), action);
  }

  void SetWeighted(const v1::HTTPRoute& from, v3::RouteAction& to) {
    for (const v1::HTTPRouteDestination& destination : from.route()) {
      if (destination.weight() <= 0) continue;
      auto& cluster = *to.mutable_weighted_clusters()->add_clusters();
      cluster.set_name(ClusterOf(destination.destination()));
      cluster.mutable_weight()->set_value(static_cast<uint32_t>(destination.weight()));
      AddHeaderOperations(destination.headers(), cluster);
      const std::string authority = AuthorityOf(destination.headers());
      if (!authority.empty()) cluster.set_host_rewrite_literal(authority);
      AddHash(cluster.name(), to);
    }
    // Without a destination there is nowhere to go: a cluster that is not there answers 503.
    if (!to.has_weighted_clusters()) to.set_cluster(std::string(kUnknownService));
  }

  void AddHash(const std::string& cluster, v3::RouteAction& to) {
    const auto name = ClusterName::Parse(cluster);
    if (name) AddHashOf(reader_, scope_.proxy.ns, *name, to);
  }

  std::string ClusterOf(const v1::Destination& destination) {
    return DestinationCluster(reader_, scope_.proxy.ns, destination, scope_.port);
  }

  Reader& reader_;
  const RouteScope& scope_;
  const Routing& routing_;
};

}  // namespace

std::string FullGatewayName(const std::string& name, const std::string& ns) {
  if (name == "mesh" || name.find('/') != std::string::npos) return name;
  return fmt::format("{}/{}", ns, name);
}

bool IsCatchAll(const v3::Route& route) {
  const v3::RouteMatch& match = route.match();
  const bool is_any_path = match.prefix() == "/" || match.safe_regex().regex() == "*";
  return is_any_path && match.headers().empty() && match.query_parameters().empty();
}

std::string DestinationCluster(Reader& reader, const std::string& ns,
                               const v1::Destination& destination, uint32_t listener_port) {
  if (destination.host().empty()) return std::string(kUnknownService);
  uint32_t port = destination.port().number();
  if (!destination.has_port()) {
    const ServicePtr service = reader.FindService(ns, destination.host());
    const bool is_only = service != nullptr && service->ports.size() == 1;
    port = is_only ? service->ports.front().number : listener_port;
  }
  return ClusterName{false, port, destination.subset(), destination.host()}.text();
}

void AddVirtualServiceRoutes(Reader& reader, const RouteScope& scope, const Routing& routing,
                             v3::VirtualHost& host) {
  RouteBuilder builder(reader, scope, routing);
  const auto add = [&](const v1::HTTPRoute& from, const v1::HTTPMatchRequest* match) {
    v3::Route& route = *host.add_routes();
    if (builder.Build(from, match, route)) return IsCatchAll(route);
    host.mutable_routes()->RemoveLast();
    return false;
  };
  for (const v1::HTTPRoute& from : routing.spec.http()) {
    if (from.match().empty()) {
      // Nothing behind it can be reached, even where it cannot be made.
      add(from, nullptr);
      return;
    }
    for (const v1::HTTPMatchRequest& match : from.match()) {
      if (add(from, &match)) return;
    }
  }
}

void AddDefaultRoute(Reader& reader, const ProxyFacts& proxy, const Service& service, uint32_t port,
                     v3::VirtualHost& host) {
  v3::Route& route = *host.add_routes();
  route.set_name("default");
  route.mutable_match()->set_prefix("/");
  v3::RouteAction& action = *route.mutable_route();
  const ClusterName cluster{false, port, "", service.host};
  action.set_cluster(cluster.text());
  SetTimeout({}, action);
  SetDefaultRetries(*action.mutable_retry_policy());
  AddHashOf(reader, proxy.ns, cluster, action);
  route.mutable_decorator()->set_operation(fmt::format("{}:{}/*", service.host, port));
}

}  // namespace meltemi::pilot
