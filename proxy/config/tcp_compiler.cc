// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/listener_compiler.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

Status Unsupported(std::string_view field) {
  return absl::UnimplementedError(fmt::format("tcp_proxy.{} is not supported", field));
}

using Subset = std::vector<std::pair<std::string, std::string>>;

// Pairs a host must carry where its cluster has subsets; what is no text is no key of theirs.
Subset CompileSubset(const envoy::config::core::v3::Metadata& from) {
  Subset subset;
  const auto found = from.filter_metadata().find("envoy.lb");
  if (found == from.filter_metadata().end()) return subset;
  for (const auto& [key, value] : found->second.fields()) {
    if (value.kind_case() == google::protobuf::Value::kStringValue) {
      subset.emplace_back(key, value.string_value());
    }
  }
  std::sort(subset.begin(), subset.end());
  return subset;
}

Status CompileTargets(const TcpProxy& from, ClusterNames& clusters, TcpProxyConfig& to) {
  const Subset common = CompileSubset(from.metadata_match());
  if (!from.cluster().empty()) {
    to.targets.push_back({clusters.Intern(from.cluster()), 1, common});
    return absl::OkStatus();
  }
  uint64_t sum = 0;
  for (const auto& weighted : from.weighted_clusters().clusters()) {
    Subset subset = CompileSubset(weighted.metadata_match());  // its own pairs come first
    for (const auto& pair : common) {
      const auto has_key = [&](const auto& own) { return own.first == pair.first; };
      if (std::none_of(subset.begin(), subset.end(), has_key)) subset.push_back(pair);
    }
    std::sort(subset.begin(), subset.end());
    to.targets.push_back({clusters.Intern(weighted.name()), weighted.weight(), std::move(subset)});
    sum += weighted.weight();
  }
  if (sum == 0 || sum > UINT32_MAX) {
    return absl::InvalidArgumentError(
        "tcp_proxy: cluster or weighted_clusters with a weight above zero is required");
  }
  return absl::OkStatus();
}

Status RefuseUnsupported(const TcpProxy& from) {
  if (from.has_on_demand()) return Unsupported("on_demand");
  if (from.has_backoff_options()) return Unsupported("backoff_options");
  if (from.proxy_protocol_tlvs_size() > 0) return Unsupported("proxy_protocol_tlvs");
  if (from.upstream_connect_mode() !=
      envoy::extensions::filters::network::tcp_proxy::v3::IMMEDIATE) {
    return Unsupported("upstream_connect_mode other than IMMEDIATE");
  }
  for (const auto& policy : from.hash_policy()) {
    if (!policy.has_source_ip()) return Unsupported("hash_policy other than source_ip");
  }
  return absl::OkStatus();
}

Status CompileTimes(const TcpProxy& from, TcpProxyConfig& to) {
  if (from.has_idle_timeout()) to.idle_timeout = CompileDuration(from.idle_timeout());
  if (from.has_max_downstream_connection_duration()) {
    to.connection_duration_max = CompileDuration(from.max_downstream_connection_duration());
    if (to.connection_duration_max < std::chrono::milliseconds(1)) {
      return absl::InvalidArgumentError(
          "tcp_proxy.max_downstream_connection_duration must be at least 1 ms");
    }
  }
  to.duration_jitter_percent = from.max_downstream_connection_duration_jitter_percentage().value();
  if (to.duration_jitter_percent < 0 || to.duration_jitter_percent > 100) {
    return absl::InvalidArgumentError(
        "tcp_proxy.max_downstream_connection_duration_jitter_percentage must be 0 to 100");
  }
  if (!from.has_max_connect_attempts()) return absl::OkStatus();
  to.connect_attempts_max = from.max_connect_attempts().value();
  if (to.connect_attempts_max > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("tcp_proxy.max_connect_attempts must be at least 1");
}

Status CompileLogs(const TcpProxy& from, const ConnectionLogCompiler& compile, TcpProxyConfig& to) {
  for (const auto& log : from.access_log()) {
    if (compile == nullptr) return Unsupported("access_log");
    auto compiled = compile(log.SerializeAsString());
    if (!compiled.ok()) return WithContext(compiled.status(), "tcp_proxy.access_log");
    to.logs.push_back(*std::move(compiled));
  }
  const auto& options = from.access_log_options();
  to.logs_connected =
      options.flush_access_log_on_connected() || from.flush_access_log_on_connected();
  if (options.has_access_log_flush_interval()) {
    to.log_interval = CompileDuration(options.access_log_flush_interval());
  } else if (from.has_access_log_flush_interval()) {
    to.log_interval = CompileDuration(from.access_log_flush_interval());
  }
  constexpr Duration kIntervalMin = std::chrono::milliseconds(1);
  if (to.log_interval == Duration{} || to.log_interval >= kIntervalMin) return absl::OkStatus();
  return absl::InvalidArgumentError("tcp_proxy.access_log_flush_interval must be at least 1 ms");
}

Status CompileTunnel(const TcpProxy& from, const TunnelCompiler& compile, TcpProxyConfig& to) {
  if (!from.has_tunneling_config()) return absl::OkStatus();
  if (compile == nullptr) return Unsupported("tunneling_config");
  auto compiled = compile(from.tunneling_config().SerializeAsString());
  if (!compiled.ok()) return WithContext(compiled.status(), "tcp_proxy.tunneling_config");
  to.tunnel = *std::move(compiled);
  return absl::OkStatus();
}

StatusOr<TcpProxyConfig> Compile(const TcpProxy& from, ClusterNames& clusters,
                                 const TcpParts& parts) {
  TcpProxyConfig to;
  MELTEMI_RETURN_IF_ERROR(RefuseUnsupported(from));
  to.stat_prefix = from.stat_prefix();
  to.hashes_source_ip = from.hash_policy_size() > 0;
  MELTEMI_RETURN_IF_ERROR(CompileTargets(from, clusters, to));
  MELTEMI_RETURN_IF_ERROR(CompileTimes(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileLogs(from, parts.log, to));
  MELTEMI_RETURN_IF_ERROR(CompileTunnel(from, parts.tunnel, to));
  to.observers = parts.observers;
  return to;
}

}  // namespace

ChainCompiler TcpChainCompiler(TcpParts parts) {
  return [parts = std::move(parts)](
             std::string_view serialized,
             const ChainContext& context) -> StatusOr<std::shared_ptr<const ChainHandler>> {
    TcpProxy from;
    if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
      return absl::InvalidArgumentError("TcpProxy cannot be decoded");
    }
    MELTEMI_ASSIGN_OR_RETURN(TcpProxyConfig config, Compile(from, context.clusters, parts));
    return NewTcpProxy(std::move(config), parts.registry);
  };
}

}  // namespace meltemi::proxy
