// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/node.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "envoy/config/core/v3/base.pb.h"

namespace meltemi::proxy {
namespace {

using Json = nlohmann::json;

// The Istio whose metadata this is; control planes choose features by it.
constexpr char kIstioVersion[] = "1.32.0";
// Kubernetes' lengths: a template's hash, a Pod's suffix ("local" for the one of a gateway here).
constexpr size_t kHashLettersMin = 8;
constexpr size_t kHashLettersMax = 10;
constexpr size_t kSuffixLetters = 5;

bool IsSafe(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

Json Metadata(const WorkloadOptions& options) {
  Json labels = Json::object();
  for (const auto& [key, value] : options.labels) labels[key] = value;
  Json metadata = {
      {"NAME", options.name},
      {"NAMESPACE", options.ns},
      {"SERVICE_ACCOUNT", options.service_account},
      {"LABELS", std::move(labels)},
      {"INSTANCE_IPS", options.ip},
      {"CLUSTER_ID", options.cluster_id},
      {"MESH_ID", options.mesh_id.empty() ? options.trust_domain : options.mesh_id},
      {"ISTIO_VERSION", kIstioVersion},
      {"MELTEMI_VERSION", MELTEMI_VERSION},
      {"WORKLOAD_NAME",
       options.workload_name.empty() ? WorkloadName(options.name) : options.workload_name},
      {"ENVOY_STATUS_PORT", options.status_port},
      {"ENVOY_PROMETHEUS_PORT", options.metrics_port},
      {"PROXY_CONFIG", {{"concurrency", options.process.concurrency}}},
  };
  if (options.is_gateway) return metadata;
  metadata["INTERCEPTION_MODE"] = "REDIRECT";
  if (!options.capture_path.empty()) metadata["DNS_CAPTURE"] = "true";
  return metadata;
}

std::string AppName(const WorkloadOptions& options) {
  const auto app = options.labels.find("app");
  if (app != options.labels.end() && !app->second.empty()) return app->second;
  return options.workload_name.empty() ? WorkloadName(options.name) : options.workload_name;
}

}  // namespace

std::string WorkloadName(std::string_view pod_name) {
  const size_t suffix = pod_name.rfind('-');
  if (suffix == std::string_view::npos || suffix == 0) return std::string(pod_name);
  const std::string_view owner = pod_name.substr(0, suffix);
  const std::string_view pod_part = pod_name.substr(suffix + 1);
  const size_t hash = owner.rfind('-');
  if (hash == std::string_view::npos || hash == 0) return std::string(pod_name);
  const std::string_view hash_part = owner.substr(hash + 1);
  const bool is_generated = pod_part.size() == kSuffixLetters && IsSafe(pod_part) &&
                            hash_part.size() >= kHashLettersMin &&
                            hash_part.size() <= kHashLettersMax && IsSafe(hash_part);
  return std::string(is_generated ? owner.substr(0, hash) : pod_name);
}

NodeIdentity MakeNode(const WorkloadOptions& options) {
  NodeIdentity identity;
  identity.id = fmt::format("{}~{}~{}.{}~{}.svc.{}", options.is_gateway ? "router" : "sidecar",
                            options.ip, options.name, options.ns, options.ns, options.domain);
  identity.cluster = fmt::format("{}.{}", AppName(options), options.ns);
  // Bytes that are no UTF-8 cannot come in: they are replaced, since a Struct holds text only.
  identity.metadata_json = Metadata(options).dump(-1, ' ', false, Json::error_handler_t::replace);
  envoy::config::core::v3::Node node;
  node.set_id(identity.id);
  node.set_cluster(identity.cluster);
  node.set_user_agent_name("meltemi-proxy");
  node.set_user_agent_version(MELTEMI_VERSION);
  const auto read =
      google::protobuf::util::JsonStringToMessage(identity.metadata_json, node.mutable_metadata());
  if (!read.ok()) node.clear_metadata();
  identity.serialized = node.SerializeAsString();
  return identity;
}

}  // namespace meltemi::proxy
