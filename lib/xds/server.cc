// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/server.h"

#include <algorithm>

namespace meltemi::xds {
namespace {

struct SingleTypeService {
  Type type;
  std::string_view service;  // under envoy.service.
  std::string_view noun;     // StreamX, DeltaX
};

constexpr SingleTypeService kSingleTypeServices[] = {
    {Type::kCluster, "cluster.v3.ClusterDiscoveryService", "Clusters"},
    {Type::kEndpoint, "endpoint.v3.EndpointDiscoveryService", "Endpoints"},
    {Type::kListener, "listener.v3.ListenerDiscoveryService", "Listeners"},
    {Type::kRoute, "route.v3.RouteDiscoveryService", "Routes"},
    {Type::kSecret, "secret.v3.SecretDiscoveryService", "Secrets"},
    {Type::kExtension, "extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"},
};

}  // namespace

AdsServer::AdsServer(Source& source, const Clock& clock, AdsOptions options)
    : source_(source), clock_(clock), options_(std::move(options)) {}

grpc::MethodTable AdsServer::Methods() {
  grpc::MethodTable methods;
  const auto add = [&](std::string_view service, const std::string& stream,
                       const std::string& delta, std::optional<Type> only) {
    const std::string path = "/envoy.service." + std::string(service) + "/";
    methods[path + stream] = [this, only](grpc::ServerCall& call) {
      return MakeSotwSession(*this, call, only);
    };
    methods[path + delta] = [this, only](grpc::ServerCall& call) {
      return MakeDeltaSession(*this, call, only);
    };
  };
  add("discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources",
      "DeltaAggregatedResources", std::nullopt);
  for (const SingleTypeService& service : kSingleTypeServices) {
    const std::string noun(service.noun);
    add(service.service, "Stream" + noun, "Delta" + noun, service.type);
  }
  return methods;
}

std::vector<SessionStatus> AdsServer::Status() const {
  std::vector<SessionStatus> all;
  for (const Session* session : sessions_) {
    if (session->is_connected()) all.push_back(session->Status());
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.node_id < b.node_id; });
  return all;
}

uint64_t AdsServer::live_version() const {
  uint64_t live = source_.snapshot_version();
  for (const Session* session : sessions_) {
    if (session->is_connected()) live = std::min(live, session->live_version());
  }
  return live;
}

}  // namespace meltemi::xds
