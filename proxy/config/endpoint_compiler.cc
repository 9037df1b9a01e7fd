// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/endpoint_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "proxy/config/address_compiler.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::endpoint::v3;
namespace core = envoy::config::core::v3;

constexpr size_t kEndpointsMax = 1'000'000;
constexpr size_t kLocalitiesMax = 65535;

std::string Text(const google::protobuf::Value& value) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kStringValue:
      return value.string_value();
    case google::protobuf::Value::kBoolValue:
      return value.bool_value() ? "true" : "false";
    case google::protobuf::Value::kNumberValue:
      return fmt::format("{}", value.number_value());
    default:
      return "";
  }
}

void ReadMetadata(const core::Metadata& metadata, Endpoint& to) {
  for (const auto& [filter, fields] : metadata.filter_metadata()) {
    for (const auto& [key, value] : fields.fields()) {
      std::string text = Text(value);
      if (filter == "istio" && key == "workload") {
        to.info.workload = std::move(text);
      } else if (filter == "envoy.transport_socket_match") {
        if (key == "tlsMode") to.info.tls_mode = text;
        to.info.transport_match.emplace_back(key, std::move(text));
      } else if (filter == "envoy.lb") {
        if (key == "hash_key") to.hash_key = text;
        to.info.subset.emplace_back(key, std::move(text));
      }
    }
  }
  std::sort(to.info.subset.begin(), to.info.subset.end());
}

balance::Health HealthOf(core::HealthStatus status) {
  switch (status) {
    case core::UNHEALTHY:
    case core::DRAINING:
    case core::TIMEOUT:
      return balance::Health::kUnhealthy;
    case core::DEGRADED:
      return balance::Health::kDegraded;
    default:
      return balance::Health::kHealthy;
  }
}

Status AddEndpoint(const v3::LbEndpoint& from, Endpoint like, bool allows_names,
                   CompiledAssignment& to) {
  if (!from.has_endpoint())
    return absl::UnimplementedError("endpoint_name (LEDS) is not supported");
  const core::Address& address = from.endpoint().address();
  like.info.hostname = from.endpoint().hostname();
  like.health = HealthOf(from.health_status());
  like.weight = from.has_load_balancing_weight() ? from.load_balancing_weight().value() : 1;
  if (like.weight == 0)
    return absl::InvalidArgumentError("load_balancing_weight must be at least 1");
  ReadMetadata(from.metadata(), like);
  auto compiled = CompileAddress(address);
  if (compiled.ok()) {
    like.info.address = *compiled;
    to.assignment.endpoints.push_back(std::move(like));
    return absl::OkStatus();
  }
  if (!allows_names || !address.has_socket_address()) return compiled.status();
  const auto& socket = address.socket_address();
  if (like.info.hostname.empty()) like.info.hostname = socket.address();
  to.named.push_back(
      {socket.address(), static_cast<uint16_t>(socket.port_value()), std::move(like)});
  return absl::OkStatus();
}

}  // namespace

StatusOr<CompiledAssignment> CompileAssignment(const v3::ClusterLoadAssignment& from,
                                               bool allows_names) {
  CompiledAssignment to;
  to.cluster_name = from.cluster_name();
  if (from.policy().drop_overloads_size() > 0) {
    return absl::UnimplementedError("policy.drop_overloads is not supported");
  }
  if (from.policy().has_overprovisioning_factor()) {
    to.assignment.overprovisioning_percent = from.policy().overprovisioning_factor().value();
  }
  if (from.endpoints_size() > static_cast<int>(kLocalitiesMax)) {
    return absl::InvalidArgumentError("more localities than 65535");
  }
  for (const auto& locality : from.endpoints()) {
    if (locality.priority() > 128) {
      return absl::InvalidArgumentError(
          fmt::format("locality priority {} is above 128", locality.priority()));
    }
    Endpoint like;
    like.locality = static_cast<uint32_t>(to.assignment.localities.size());
    like.info.priority = locality.priority();
    like.info.region = locality.locality().region();
    like.info.zone = locality.locality().zone();
    like.info.sub_zone = locality.locality().sub_zone();
    to.assignment.localities.push_back(
        {locality.priority(), locality.load_balancing_weight().value()});
    for (const auto& endpoint : locality.lb_endpoints()) {
      MELTEMI_RETURN_IF_ERROR(AddEndpoint(endpoint, like, allows_names, to));
      if (to.assignment.endpoints.size() + to.named.size() > kEndpointsMax) {
        return absl::InvalidArgumentError(fmt::format("more endpoints than {}", kEndpointsMax));
      }
    }
  }
  return to;
}

StatusOr<CompiledAssignment> CompileAssignment(std::string_view serialized) {
  v3::ClusterLoadAssignment from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("ClusterLoadAssignment cannot be decoded");
  }
  return CompileAssignment(from, false);
}

}  // namespace meltemi::proxy
