// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/listener_compiler.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

Status Unsupported(std::string_view field) {
  return absl::UnimplementedError(fmt::format("tcp_proxy.{} is not supported", field));
}

Status CompileTargets(const TcpProxy& from, ClusterNames& clusters, TcpProxyConfig& to) {
  if (!from.cluster().empty()) {
    to.targets.push_back({clusters.Intern(from.cluster()), 1});
    return absl::OkStatus();
  }
  uint64_t sum = 0;
  for (const auto& weighted : from.weighted_clusters().clusters()) {
    if (weighted.has_metadata_match()) return Unsupported("weighted_clusters.metadata_match");
    to.targets.push_back({clusters.Intern(weighted.name()), weighted.weight()});
    sum += weighted.weight();
  }
  if (sum == 0 || sum > UINT32_MAX) {
    return absl::InvalidArgumentError(
        "tcp_proxy: cluster or weighted_clusters with a weight above zero is required");
  }
  return absl::OkStatus();
}

StatusOr<TcpProxyConfig> Compile(const TcpProxy& from, ClusterNames& clusters) {
  TcpProxyConfig to;
  if (from.has_tunneling_config()) return Unsupported("tunneling_config");
  if (from.has_metadata_match()) return Unsupported("metadata_match");
  if (from.has_on_demand()) return Unsupported("on_demand");
  to.stat_prefix = from.stat_prefix();
  MELTEMI_RETURN_IF_ERROR(CompileTargets(from, clusters, to));
  if (from.has_idle_timeout()) to.idle_timeout = CompileDuration(from.idle_timeout());
  if (from.has_max_downstream_connection_duration()) {
    to.connection_duration_max = CompileDuration(from.max_downstream_connection_duration());
  }
  if (from.has_max_connect_attempts()) {
    to.connect_attempts_max = from.max_connect_attempts().value();
    if (to.connect_attempts_max == 0) {
      return absl::InvalidArgumentError("tcp_proxy.max_connect_attempts must be at least 1");
    }
  }
  for (const auto& policy : from.hash_policy()) {
    if (!policy.has_source_ip()) return Unsupported("hash_policy other than source_ip");
    to.hashes_source_ip = true;
  }
  return to;
}

}  // namespace

ChainCompiler TcpChainCompiler(TcpObservers observers) {
  return [observers = std::move(observers)](
             std::string_view serialized,
             const ChainContext& context) -> StatusOr<std::shared_ptr<const ChainHandler>> {
    TcpProxy from;
    if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
      return absl::InvalidArgumentError("TcpProxy cannot be decoded");
    }
    MELTEMI_ASSIGN_OR_RETURN(TcpProxyConfig config, Compile(from, context.clusters));
    config.observers = observers;
    return NewTcpProxy(std::move(config));
  };
}

}  // namespace meltemi::proxy
