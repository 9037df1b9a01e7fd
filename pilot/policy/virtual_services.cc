// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/virtual_services.h"

#include <string_view>
#include <utility>

#include "pilot/model/export_to.h"
#include "pilot/model/hosts.h"
#include "pilot/policy/delegates.h"

namespace meltemi::pilot {
namespace {

namespace api = istio::networking::v1;

struct Naming {
  const std::string& ns;
  const std::string& domain;

  void Complete(api::Destination& destination) const {
    destination.set_host(FullHost(destination.host(), ns, domain));
  }
  // "NAME", "NS/NAME", "./NAME", or the older "NAME.NS" and its longer forms.
  std::string Gateway(std::string_view name) const {
    if (name == "mesh") return "mesh";
    if (name.starts_with("./")) return ns + std::string(name.substr(1));
    if (name.find('/') != std::string_view::npos) return std::string(name);
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos) return ns + "/" + std::string(name);
    const std::string_view rest = name.substr(dot + 1);
    return std::string(rest.substr(0, rest.find('.'))) + "/" + std::string(name.substr(0, dot));
  }
  template <typename Matches>
  void CompleteGateways(Matches& matches) const {
    for (auto& match : matches) {
      for (std::string& gateway : *match.mutable_gateways()) gateway = Gateway(gateway);
    }
  }
  template <typename Routes>
  void CompletePlainRoutes(Routes& routes) const {
    for (auto& route : routes) {
      CompleteGateways(*route.mutable_match());
      for (auto& target : *route.mutable_route()) Complete(*target.mutable_destination());
    }
  }
  void CompleteHttp(api::HTTPRoute& route) const {
    CompleteGateways(*route.mutable_match());
    for (auto& target : *route.mutable_route()) Complete(*target.mutable_destination());
    if (route.has_mirror()) Complete(*route.mutable_mirror());
    for (auto& mirror : *route.mutable_mirrors()) Complete(*mirror.mutable_destination());
    if (route.has_delegate() && route.delegate().namespace_().empty()) {
      route.mutable_delegate()->set_namespace_(ns);
    }
  }
};

}  // namespace

VirtualServicePtr ReadVirtualService(const config::Object& object, const std::string& domain,
                                     const istio::mesh::v1alpha1::MeshConfig& mesh) {
  auto view = std::make_shared<VirtualServiceView>();
  view->routing.origin = object.key();
  view->created = object.meta.created;
  api::VirtualService& spec = view->routing.spec;
  spec = object.Spec<api::VirtualService>();
  const Naming naming{object.meta.ns, domain};
  for (std::string& host : *spec.mutable_hosts()) host = FullHost(host, object.meta.ns, domain);
  if (spec.gateways().empty()) spec.add_gateways("mesh");
  for (std::string& gateway : *spec.mutable_gateways()) gateway = naming.Gateway(gateway);
  for (api::HTTPRoute& route : *spec.mutable_http()) {
    naming.CompleteHttp(route);
    view->has_delegates |= route.has_delegate();
  }
  naming.CompletePlainRoutes(*spec.mutable_tls());
  naming.CompletePlainRoutes(*spec.mutable_tcp());
  view->gateways = {spec.gateways().begin(), spec.gateways().end()};
  const auto& export_to =
      spec.export_to().empty() ? mesh.default_virtual_service_export_to() : spec.export_to();
  view->export_to = {export_to.begin(), export_to.end()};
  return view;
}

Routing MergeDelegates(
    const VirtualServiceView& root,
    const std::function<VirtualServicePtr(const std::string& ns, const std::string& name)>& find) {
  Routing merged = root.routing;
  merged.spec.clear_http();
  for (const api::HTTPRoute& route : root.routing.spec.http()) {
    if (!route.has_delegate()) {
      *merged.spec.add_http() = route;
      continue;
    }
    // A delegate that is missing, has hosts of its own, or is kept from the root's namespace makes
    // only this route disappear.
    const auto delegate = find(route.delegate().namespace_(), route.delegate().name());
    if (delegate == nullptr || !delegate->is_delegate()) continue;
    if (VisibilityOf(delegate->export_to, delegate->routing.origin.ns, root.routing.origin.ns) ==
        Visibility::kNone) {
      continue;
    }
    for (const api::HTTPRoute& inner : delegate->routing.spec.http()) {
      if (inner.has_delegate()) continue;  // one level only
      api::HTTPRoute joined;
      if (MergeDelegateRoute(route, inner, joined)) *merged.spec.add_http() = std::move(joined);
    }
  }
  return merged;
}

VirtualServiceList VisibleIn(const VirtualServiceList& all, const std::string& ns) {
  VirtualServiceList visible;
  for (const Visibility group : {Visibility::kOwn, Visibility::kNamed, Visibility::kPublic}) {
    for (const VirtualServicePtr& candidate : all) {
      if (VisibilityOf(candidate->export_to, candidate->routing.origin.ns, ns) == group) {
        visible.push_back(candidate);
      }
    }
  }
  return visible;
}

}  // namespace meltemi::pilot
