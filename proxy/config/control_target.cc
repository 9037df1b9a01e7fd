// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/control_target.h"

#include <fmt/format.h>

namespace meltemi::proxy {

StatusOr<grpc::Target> ControlTarget(const Model& model, const std::string& cluster, size_t turn) {
  const auto found = model.clusters().find(cluster);
  if (found == model.clusters().end())
    return absl::NotFoundError(fmt::format("there is no cluster '{}'", cluster));
  const CompiledCluster* compiled = found->second.published.get();
  if (compiled == nullptr || compiled->endpoints == nullptr || compiled->endpoints->hosts.empty())
    return absl::UnavailableError(fmt::format("cluster '{}' has no endpoint", cluster));
  const EndpointSet& endpoints = *compiled->endpoints;
  const size_t index = turn % endpoints.hosts.size();
  const Transport& transport = compiled->config->transports[endpoints.transport[index]];
  if (transport.proxy != nullptr)
    return absl::UnimplementedError(fmt::format(
        "cluster '{}': PROXY headers towards control servers are not supported", cluster));
  if (transport.is_tls && transport.tls == nullptr)
    return absl::UnavailableError(fmt::format("cluster '{}' waits for its certificates", cluster));
  return grpc::Target{endpoints.hosts[index]->address, transport.tls};
}

}  // namespace meltemi::proxy
