// SPDX-License-Identifier: Apache-2.0
// envoy.config.core.v3.ConfigSource → where a resource is subscribed. Plain values, comparable: the
// same source is one stream or one watched file, however many resources come from it.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace envoy::config::core::v3 {
class ApiConfigSource;
class ConfigSource;
}  // namespace envoy::config::core::v3

namespace meltemi::proxy {

// An xDS server behind a cluster of this proxy.
struct GrpcSource {
  std::string cluster, authority;
  std::multimap<std::string, std::string> metadata;  // initial_metadata
  bool is_incremental = false;
  auto operator<=>(const GrpcSource&) const = default;
};

// A DiscoveryResponse in a file, YAML or JSON, read again when something is moved into its
// directory or the one watched instead.
struct FileSource {
  std::string path, watched_directory;
  auto operator<=>(const FileSource&) const = default;
};

// Neither = the aggregated stream of the bootstrap.
struct ConfigSource {
  std::optional<GrpcSource> grpc;
  std::optional<FileSource> file;
  bool is_aggregated() const { return !grpc && !file; }
  auto operator<=>(const ConfigSource&) const = default;
};

// Names subscribed, and where.
using SourcedNames = std::map<std::string, ConfigSource>;

// Errors name the field below the message.
StatusOr<ConfigSource> CompileConfigSource(const envoy::config::core::v3::ConfigSource& from);
StatusOr<GrpcSource> CompileGrpcSource(const envoy::config::core::v3::ApiConfigSource& from);

}  // namespace meltemi::proxy
