// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/config_receiver.h"

#include <utility>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "lib/base/log.h"

namespace meltemi::proxy {
namespace {

std::string EmptyResource(xds::Type type, const std::string& name) {
  if (type == xds::Type::kRoute) {
    envoy::config::route::v3::RouteConfiguration routes;
    routes.set_name(name);
    return routes.SerializeAsString();
  }
  envoy::config::endpoint::v3::ClusterLoadAssignment endpoints;
  endpoints.set_cluster_name(name);
  return endpoints.SerializeAsString();
}

void KeepWanted(std::set<std::string>& names, const SourcedNames& wanted) {
  std::erase_if(names, [&](const std::string& name) { return !wanted.contains(name); });
}

}  // namespace

ConfigReceiver::ConfigReceiver(ConfigSink& sink, Options options)
    : sink_(sink), options_(std::move(options)) {}

void ConfigReceiver::Attach(xds::Client& client) {
  client_ = &client;
  for (const xds::Type type : options_.whole) client.SubscribeAll(type);
  if (options_.take_names) client.SubscribeAll(xds::Type::kNameTable);
  Follow(sink_.wanted());
}

std::set<std::string> ConfigReceiver::Asked(xds::Type type, const SourcedNames& wanted) const {
  std::set<std::string> names;
  for (const auto& [name, source] : wanted)
    if (options_.is_asked(type, name, source)) names.insert(name);
  return names;
}

bool ConfigReceiver::Follow(const Wanted& wanted) {
  KeepWanted(endpoints_, wanted.endpoints);
  KeepWanted(routes_, wanted.routes);
  bool has_names = !options_.whole.empty();
  const auto subscribe = [&](xds::Type type, const SourcedNames& from) {
    const std::set<std::string> names = Asked(type, from);
    client_->Subscribe(type, names);
    has_names = has_names || !names.empty();
  };
  subscribe(xds::Type::kEndpoint, wanted.endpoints);
  subscribe(xds::Type::kRoute, wanted.routes);
  subscribe(xds::Type::kSecret, wanted.secrets);
  return has_names;
}

void ConfigReceiver::OnUpdate(const xds::ClientUpdate& update, xds::Settle settle) {
  if (update.type == xds::Type::kNameTable) return TakeNames(update, settle);
  std::vector<ResourceUpdate> changed;
  changed.reserve(update.changed.size());
  for (const xds::ClientResource& resource : update.changed)
    changed.push_back({resource.name, resource.message, resource.version});
  std::vector<xds::ClientRefusal> refusals;
  std::vector<std::string> empty;
  std::vector<std::string> removed = update.removed;
  if (update.type == xds::Type::kEndpoint || update.type == xds::Type::kRoute) {
    AddMissing(update, changed, empty);
    removed.clear();
  }
  for (Rejection& rejection : sink_.Update(update.type, changed, removed)) {
    MELTEMI_LOG(warn, "refused {}: {}", rejection.name, rejection.reason);
    refusals.push_back({std::move(rejection.name), std::move(rejection.reason)});
  }
  MELTEMI_LOG(debug, "{}: {} changed, {} removed, {} refused", xds::TypeUrl(update.type),
              changed.size(), update.removed.size(), refusals.size());
  sink_.Commit([self = std::weak_ptr(self_), type = update.type, settle = std::move(settle),
                refusals = std::move(refusals)] {
    const auto alive = self.lock();
    if (alive == nullptr) return;
    (*alive)->adopted_[static_cast<size_t>(type)] = true;
    settle(refusals);
    (*alive)->options_.adopted();
  });
}

// As Envoy does: an endpoint or route resource that is taken away stays in use until nothing wants
// it, and one that never was counts as empty, so that its cluster or listener starts.
void ConfigReceiver::AddMissing(const xds::ClientUpdate& update,
                                std::vector<ResourceUpdate>& changed,
                                std::vector<std::string>& messages) {
  std::set<std::string>& given = update.type == xds::Type::kRoute ? routes_ : endpoints_;
  const Wanted wanted = sink_.wanted();
  const SourcedNames& names = update.type == xds::Type::kRoute ? wanted.routes : wanted.endpoints;
  for (const xds::ClientResource& resource : update.changed) given.insert(resource.name);
  messages.reserve(update.removed.size());  // the updates point into it
  for (const std::string& name : update.removed) {
    if (!names.contains(name) || !given.insert(name).second) continue;
    messages.push_back(EmptyResource(update.type, name));
    changed.push_back({name, messages.back(), ""});
  }
}

void ConfigReceiver::TakeNames(const xds::ClientUpdate& update, const xds::Settle& settle) {
  std::vector<xds::ClientRefusal> refusals;
  for (const xds::ClientResource& resource : update.changed) {
    const Status status = options_.take_names(resource.message);
    if (!status.ok()) refusals.push_back({resource.name, std::string(Message(status))});
  }
  adopted_[static_cast<size_t>(xds::Type::kNameTable)] = true;
  settle(std::move(refusals));
  options_.adopted();
}

void ConfigReceiver::OnStreamUp() {
  is_connected_ = true;
  last_reason_.clear();
  MELTEMI_LOG(info, "connected to the {}", options_.server);
}

void ConfigReceiver::OnStreamDown(const std::string& reason) {
  const bool was_connected = std::exchange(is_connected_, false);
  if (!was_connected && reason == last_reason_) return;
  last_reason_ = reason;
  MELTEMI_LOG(warn, "no {}: {}; serving what is there, trying again", options_.server, reason);
}

}  // namespace meltemi::proxy
