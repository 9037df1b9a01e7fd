// SPDX-License-Identifier: Apache-2.0
#include "pilot/source/resources.h"

#include <algorithm>

#include "api/nds.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "pilot/source/encode.h"
#include "pilot/source/secrets.h"

namespace meltemi::pilot {

FactsPtr FactsTable::Share(const ProxyFacts& facts) {
  if (known_.size() >= sweep_at_) {
    absl::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<size_t>(64, known_.size() * 2);
  }
  std::weak_ptr<const ProxyFacts>& known = known_[facts];
  FactsPtr shared = known.lock();
  if (shared == nullptr) known = shared = std::make_shared<const ProxyFacts>(facts);
  return shared;
}

Resources::Resources(Model& model)
    : cluster_names_(model.graph(), "cluster names",
                     [&model](const FactsPtr& facts) {
                       return std::make_shared<const Names>(ClusterNames(model, *facts));
                     }),
      listener_names_(model.graph(), "listener names",
                      [&model](const FactsPtr& facts) {
                        return std::make_shared<const Names>(ListenerNames(model, *facts));
                      }),
      clusters_(model.graph(), "clusters",
                [&model](const Key& key) {
                  return Encode(key.second, BuildCluster(model, *key.first, key.second).get());
                }),
      endpoints_(model.graph(), "endpoints",
                 [&model](const Key& key) {
                   return Encode(key.second, BuildEndpoints(model, *key.first, key.second).get());
                 }),
      listeners_(model.graph(), "listeners",
                 [&model](const Key& key) {
                   return Encode(key.second, BuildListener(model, *key.first, key.second).get());
                 }),
      routes_(model.graph(), "routes",
              [&model](const Key& key) {
                return Encode(key.second, BuildRoutes(model, *key.first, key.second).get());
              }),
      name_tables_(model.graph(), "name tables",
                   [&model](const Key& key) {
                     return Encode(key.second, BuildNameTable(model, *key.first).get());
                   }),
      secrets_(model.graph(), "secrets", [&model](const Key& key) {
        const std::string& ns = key.first->ns;
        const auto find = [&](const std::string& name) { return model.Secret(ns, name); };
        return Encode(key.second, BuildSecret(ns, key.second, find).get());
      }) {}

Resources::Collection* Resources::Find(xds::Type type) {
  switch (type) {
    case xds::Type::kCluster:
      return &clusters_;
    case xds::Type::kEndpoint:
      return &endpoints_;
    case xds::Type::kListener:
      return &listeners_;
    case xds::Type::kRoute:
      return &routes_;
    case xds::Type::kNameTable:
      return &name_tables_;
    case xds::Type::kSecret:
      return &secrets_;
    default:
      return nullptr;
  }
}

Resources::Key Resources::KeyFor(xds::Type type, const FactsPtr& facts, const FactsPtr& scope,
                                 const std::string& name) const {
  const bool is_outbound = type == xds::Type::kEndpoint || type == xds::Type::kNameTable ||
                           (type == xds::Type::kCluster && !name.starts_with("inbound|"));
  return {is_outbound ? scope : facts, name};
}

}  // namespace meltemi::pilot
