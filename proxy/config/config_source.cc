// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/config_source.h"

#include <fmt/format.h>

#include "envoy/config/core/v3/config_source.pb.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::core::v3;

Status Unsupported(std::string_view what) {
  return absl::UnimplementedError(fmt::format("{} is not supported", what));
}

Status CompileService(const v3::GrpcService& from, GrpcSource& to) {
  if (!from.has_envoy_grpc()) return Unsupported("grpc_services.google_grpc (use envoy_grpc)");
  if (from.envoy_grpc().cluster_name().empty())
    return absl::InvalidArgumentError("grpc_services.envoy_grpc.cluster_name is empty");
  to.cluster = from.envoy_grpc().cluster_name();
  to.authority = from.envoy_grpc().authority();
  for (const auto& header : from.initial_metadata())
    to.metadata.emplace(header.key(), header.value());
  return absl::OkStatus();
}

}  // namespace

StatusOr<GrpcSource> CompileGrpcSource(const v3::ApiConfigSource& from) {
  using Api = v3::ApiConfigSource;
  GrpcSource to;
  switch (from.api_type()) {
    case Api::GRPC:
    case Api::AGGREGATED_GRPC:
      break;
    case Api::DELTA_GRPC:
    case Api::AGGREGATED_DELTA_GRPC:
      to.is_incremental = true;
      break;
    default:
      return Unsupported("api_type " + Api::ApiType_Name(from.api_type()));
  }
  if (from.transport_api_version() != v3::V3) return Unsupported("transport_api_version before V3");
  if (from.config_validators_size() > 0) return Unsupported("config_validators");
  if (from.grpc_services_size() != 1)
    return absl::InvalidArgumentError("grpc_services: exactly one is supported");
  MELTEMI_RETURN_IF_ERROR(CompileService(from.grpc_services(0), to));
  return to;
}

StatusOr<ConfigSource> CompileConfigSource(const v3::ConfigSource& from) {
  ConfigSource to;
  switch (from.config_source_specifier_case()) {
    case v3::ConfigSource::kAds:
    case v3::ConfigSource::kSelf:
      return to;
    case v3::ConfigSource::kApiConfigSource: {
      auto grpc = CompileGrpcSource(from.api_config_source());
      if (!grpc.ok()) return WithContext(grpc.status(), "api_config_source");
      const auto type = from.api_config_source().api_type();
      const bool is_aggregated = type == v3::ApiConfigSource::AGGREGATED_GRPC ||
                                 type == v3::ApiConfigSource::AGGREGATED_DELTA_GRPC;
      if (is_aggregated) return Unsupported("api_config_source: AGGREGATED_GRPC (use ads)");
      to.grpc = *std::move(grpc);
      return to;
    }
    case v3::ConfigSource::kPathConfigSource:
      to.file = FileSource{from.path_config_source().path(),
                           from.path_config_source().watched_directory().path()};
      break;
    case v3::ConfigSource::kPath:
      to.file = FileSource{from.path(), ""};
      break;
    case v3::ConfigSource::CONFIG_SOURCE_SPECIFIER_NOT_SET:
      return absl::InvalidArgumentError("no source is given (ads, api_config_source, path)");
  }
  if (to.file->path.empty()) return absl::InvalidArgumentError("the path is empty");
  return to;
}

}  // namespace meltemi::proxy
