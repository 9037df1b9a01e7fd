// SPDX-License-Identifier: Apache-2.0
// The parts that routes are compiled from: matches, mutations of headers, actions. Control thread
// only; for the compilers of this folder.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "envoy/config/route/v3/route.pb.h"
#include "lib/base/status.h"
#include "lib/routing/actions.h"
#include "proxy/config/snapshot.h"
#include "proxy/filters/registry.h"
#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {

Status CompileRouteMatch(const envoy::config::route::v3::RouteMatch& from, routing::Route& to);

StatusOr<routing::HeaderAddition> CompileAddition(
    const envoy::config::core::v3::HeaderValueOption& from);

template <typename Names>
StatusOr<routing::HeaderMutations> CompileMutations(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
    const Names& remove) {
  MELTEMI_ASSIGN_OR_RETURN(routing::HeaderMutations to, CompileHeadersToAdd(add));
  for (const std::string& name : remove) to.remove.push_back(routing::HeaderRef::Of(name));
  return to;
}

// Anything that carries the four fields of header mutations.
template <typename From, typename To>
Status CompileBothMutations(const From& from, To& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.request, CompileMutations(from.request_headers_to_add(),
                                                        from.request_headers_to_remove()));
  MELTEMI_ASSIGN_OR_RETURN(to.response, CompileMutations(from.response_headers_to_add(),
                                                         from.response_headers_to_remove()));
  return absl::OkStatus();
}

template <typename Configs>
StatusOr<routing::FilterOverrides> CompileOverrides(const Configs& from) {
  routing::FilterOverrides to;
  for (const auto& [name, any] : from) {
    auto entry = CompileFilterOverride(name, any.type_url(), any.value());
    if (!entry.ok()) {
      return WithContext(entry.status(), fmt::format("typed_per_filter_config \"{}\"", name));
    }
    if (entry->has_value()) to.push_back(**std::move(entry));
  }
  std::sort(to.begin(), to.end(), [](const auto& a, const auto& b) { return a.filter < b.filter; });
  return to;
}

class ActionCompiler final {
 public:
  explicit ActionCompiler(ClusterNames& clusters) : clusters_(clusters) {}

  // Mirrors of routes without their own; the longest body of a direct response.
  void set_common_mirrors(std::vector<routing::Mirror> mirrors) {
    common_mirrors_ = std::move(mirrors);
  }
  void set_direct_body_bytes_max(size_t bytes) { direct_body_bytes_max_ = bytes; }

  StatusOr<routing::ForwardAction> Forward(const envoy::config::route::v3::RouteAction& from,
                                           const envoy::config::route::v3::VirtualHost& host);
  StatusOr<routing::RedirectAction> Redirect(const envoy::config::route::v3::RedirectAction& from);
  StatusOr<routing::DirectResponse> Direct(
      const envoy::config::route::v3::DirectResponseAction& from);
  StatusOr<routing::Mirror> OneMirror(
      const envoy::config::route::v3::RouteAction::RequestMirrorPolicy& from);

 private:
  Status Target(const envoy::config::route::v3::RouteAction& from, routing::ForwardAction& to);
  StatusOr<routing::WeightedCluster> Weighted(
      const envoy::config::route::v3::WeightedCluster::ClusterWeight& from);
  Status Upgrades(const envoy::config::route::v3::RouteAction& from, routing::ForwardAction& to);
  routing::ClusterTarget TargetOf(const std::string& name) {
    return {name, clusters_.Intern(name)};
  }

  ClusterNames& clusters_;
  size_t direct_body_bytes_max_ = 4096;  // Envoy's default; Istio raises it to 1 MiB
  std::vector<routing::Mirror> common_mirrors_;
};

}  // namespace meltemi::proxy
