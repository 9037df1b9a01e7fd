// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/route_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/http/compile.h"
#include "proxy/http/route_compiler_parts.h"

namespace meltemi::proxy {

namespace envoy_route = envoy::config::route::v3;
namespace {

class RouteCompiler final {
 public:
  explicit RouteCompiler(ClusterNames& clusters) : actions_(clusters) {}

  StatusOr<std::shared_ptr<const HttpRoutes>> Compile(const envoy_route::RouteConfiguration& from);

 private:
  StatusOr<routing::VirtualHost> Host(const envoy_route::VirtualHost& from);
  StatusOr<routing::Route> OneRoute(const envoy_route::Route& from,
                                    const envoy_route::VirtualHost& host);

  ActionCompiler actions_;
};

StatusOr<routing::Route> RouteCompiler::OneRoute(const envoy_route::Route& from,
                                                 const envoy_route::VirtualHost& host) {
  routing::Route to;
  to.name = from.name();
  to.decorator = from.decorator().operation();
  MELTEMI_RETURN_IF_ERROR(CompileRouteMatch(from.match(), to));
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, to));
  MELTEMI_ASSIGN_OR_RETURN(to.overrides, CompileOverrides(from.typed_per_filter_config()));
  switch (from.action_case()) {
    case envoy_route::Route::kRoute: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, actions_.Forward(from.route(), host));
      return to;
    }
    case envoy_route::Route::kRedirect: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, actions_.Redirect(from.redirect()));
      return to;
    }
    case envoy_route::Route::kDirectResponse: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, actions_.Direct(from.direct_response()));
      return to;
    }
    default:
      return absl::InvalidArgumentError("a route needs one of route, redirect and direct_response");
  }
}

StatusOr<routing::VirtualHost> RouteCompiler::Host(const envoy_route::VirtualHost& from) {
  routing::VirtualHost to;
  to.name = from.name();
  to.domains.assign(from.domains().begin(), from.domains().end());
  if (from.has_matcher()) {
    return absl::InvalidArgumentError("a matcher in place of routes is not supported");
  }
  using Tls = routing::VirtualHost::TlsRequirement;
  if (from.require_tls() == envoy_route::VirtualHost::ALL) to.tls_requirement = Tls::kAll;
  if (from.require_tls() == envoy_route::VirtualHost::EXTERNAL_ONLY) {
    to.tls_requirement = Tls::kExternalOnly;
  }
  to.adds_attempt_count = from.include_request_attempt_count();
  to.adds_attempt_count_to_response = from.include_attempt_count_in_response();
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, to));
  MELTEMI_ASSIGN_OR_RETURN(to.overrides, CompileOverrides(from.typed_per_filter_config()));
  to.routes.reserve(static_cast<size_t>(from.routes_size()));
  for (int i = 0; i < from.routes_size(); ++i) {
    auto route = OneRoute(from.routes(i), from);
    if (!route.ok()) {
      return WithContext(route.status(), fmt::format("route {} \"{}\"", i, from.routes(i).name()));
    }
    to.routes.push_back(*std::move(route));
  }
  return to;
}

StatusOr<std::shared_ptr<const HttpRoutes>> RouteCompiler::Compile(
    const envoy_route::RouteConfiguration& from) {
  if (from.has_vhds() || from.cluster_specifier_plugins_size() > 0 ||
      !from.vhost_header().empty()) {
    return absl::InvalidArgumentError(
        "vhds, cluster_specifier_plugins and vhost_header are not supported");
  }
  if (from.has_max_direct_response_body_size_bytes()) {
    actions_.set_direct_body_bytes_max(from.max_direct_response_body_size_bytes().value());
  }
  routing::RouteOptions options;
  options.name = from.name();
  options.ignores_port = from.ignore_port_in_host_matching();
  options.most_specific_mutations_win = from.most_specific_header_mutations_wins();
  options.ignores_path_parameters = from.ignore_path_parameters_in_path_matching();
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, options));
  MELTEMI_ASSIGN_OR_RETURN(options.overrides, CompileOverrides(from.typed_per_filter_config()));
  std::vector<routing::Mirror> mirrors;
  for (const auto& policy : from.request_mirror_policies()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::Mirror mirror, actions_.OneMirror(policy));
    mirrors.push_back(std::move(mirror));
  }
  actions_.set_common_mirrors(std::move(mirrors));
  std::vector<routing::VirtualHost> hosts;
  hosts.reserve(static_cast<size_t>(from.virtual_hosts_size()));
  for (const auto& virtual_host : from.virtual_hosts()) {
    auto host = Host(virtual_host);
    if (!host.ok()) {
      return WithContext(host.status(), fmt::format("virtual host \"{}\"", virtual_host.name()));
    }
    hosts.push_back(*std::move(host));
  }
  MELTEMI_ASSIGN_OR_RETURN(auto table,
                           routing::RouteTable::Build(std::move(options), std::move(hosts)));
  return std::make_shared<const HttpRoutes>(std::move(table));
}

}  // namespace

StatusOr<std::shared_ptr<const HttpRoutes>> CompileRouteConfiguration(
    const envoy_route::RouteConfiguration& from, ClusterNames& clusters) {
  auto routes = RouteCompiler(clusters).Compile(from);
  if (!routes.ok()) {
    return WithContext(routes.status(), fmt::format("route configuration \"{}\"", from.name()));
  }
  return routes;
}

StatusOr<std::shared_ptr<const RouteTableBase>> CompileRoutes(std::string_view serialized,
                                                              ClusterNames& clusters) {
  envoy_route::RouteConfiguration from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a RouteConfiguration message");
  }
  MELTEMI_ASSIGN_OR_RETURN(std::shared_ptr<const RouteTableBase> routes,
                           CompileRouteConfiguration(from, clusters));
  return routes;
}

}  // namespace meltemi::proxy
