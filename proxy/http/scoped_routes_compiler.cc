// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/scoped_routes_compiler.h"

#include <fmt/format.h>

#include "lib/routing/string_match.h"
#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using Builder = hcm::ScopedRoutes::ScopeKeyBuilder;

StatusOr<ScopedRoutes::Fragment> CompileFragment(const Builder::FragmentBuilder& from) {
  constexpr std::string_view kField = "scope_key_builder.fragments: header_value_extractor";
  if (!from.has_header_value_extractor()) {
    return absl::InvalidArgumentError(fmt::format("{} is missing", kField));
  }
  const auto& extractor = from.header_value_extractor();
  ScopedRoutes::Fragment to;
  to.header = routing::LowerCase(extractor.name());
  to.separator = extractor.element_separator();
  if (to.header.empty()) return absl::InvalidArgumentError(fmt::format("{}: no name", kField));
  if (extractor.has_element()) {
    to.key = extractor.element().key();
    to.key_separator = extractor.element().separator();
    if (to.key.empty() || to.key_separator.empty()) {
      return absl::InvalidArgumentError(fmt::format("{}.element: no key or separator", kField));
    }
  } else {
    to.index = extractor.index();
    if (to.separator.empty() && *to.index > 0) {
      return absl::InvalidArgumentError(
          fmt::format("{}: index {} without element_separator", kField, *to.index));
    }
  }
  return to;
}

StatusOr<ScopedRoutes::Scope> CompileScope(
    const envoy::config::route::v3::ScopedRouteConfiguration& from,
    const envoy::config::core::v3::ConfigSource& source, const ChainContext& context) {
  ScopedRoutes::Scope to;
  if (from.on_demand()) return absl::UnimplementedError("on_demand is not supported");
  if (from.has_route_configuration()) {
    MELTEMI_ASSIGN_OR_RETURN(
        to.routes, CompileRouteConfiguration(from.route_configuration(), context.clusters));
  } else if (!from.route_configuration_name().empty()) {
    const auto id = context.routes.Subscribe(from.route_configuration_name(), source);
    if (!id.ok()) return WithContext(id.status(), "rds_config_source");
    to.rds = *id;
  } else {
    return absl::InvalidArgumentError("neither route_configuration nor route_configuration_name");
  }
  return to;
}

}  // namespace

StatusOr<std::shared_ptr<const ScopedRoutes>> CompileScopedRoutes(const hcm::ScopedRoutes& from,
                                                                  const ChainContext& context) {
  if (from.has_scoped_rds()) return absl::UnimplementedError("scoped_rds is not supported");
  std::vector<ScopedRoutes::Fragment> fragments;
  for (const auto& fragment : from.scope_key_builder().fragments()) {
    MELTEMI_ASSIGN_OR_RETURN(auto compiled, CompileFragment(fragment));
    fragments.push_back(std::move(compiled));
  }
  if (fragments.empty()) return absl::InvalidArgumentError("scope_key_builder.fragments is empty");
  auto to = std::make_shared<ScopedRoutes>(std::move(fragments));
  for (const auto& scope : from.scoped_route_configurations_list().scoped_route_configurations()) {
    std::vector<std::string> key;
    for (const auto& fragment : scope.key().fragments()) key.push_back(fragment.string_key());
    auto compiled = CompileScope(scope, from.rds_config_source(), context);
    if (!compiled.ok())
      return WithContext(compiled.status(), fmt::format("scope {}", scope.name()));
    if (key.size() != to->fragments()) {
      return absl::InvalidArgumentError(
          fmt::format("scope {}: a key of {} fragments, the builder makes {}", scope.name(),
                      key.size(), to->fragments()));
    }
    if (!to->Add(key, *std::move(compiled))) {
      return absl::InvalidArgumentError(
          fmt::format("scope {}: another one has its key", scope.name()));
    }
  }
  return to;
}

}  // namespace meltemi::proxy
