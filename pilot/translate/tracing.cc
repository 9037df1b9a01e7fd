// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/tracing.h"

#include "pilot/translate/canonical.h"

namespace meltemi::pilot {
namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using Tracing = HttpConnectionManager::Tracing;

constexpr double kSamplingPercentElse = 1;  // PILOT_TRACE_SAMPLING

void AddDryRunTag(const char* tag, const char* key, Tracing& to) {
  auto& custom = *to.add_custom_tags();
  custom.set_tag(tag);
  auto& metadata = *custom.mutable_metadata();
  metadata.mutable_kind()->mutable_request();
  metadata.mutable_metadata_key()->set_key("envoy.filters.http.rbac");
  metadata.mutable_metadata_key()->add_path()->set_key(key);
}

void AddLiteralTag(const char* tag, std::string_view value, Tracing& to) {
  if (value.empty()) return;
  auto& custom = *to.add_custom_tags();
  custom.set_tag(tag);
  custom.mutable_literal()->set_value(std::string(value));
}

std::string Label(const ProxyFacts& proxy, const char* key, std::string_view otherwise) {
  const auto found = proxy.labels.find(key);
  return found == proxy.labels.end() ? std::string(otherwise) : found->second;
}

}  // namespace

void SetTracing(const istio::mesh::v1alpha1::MeshConfig& mesh, const ProxyFacts& proxy,
                HttpConnectionManager& to) {
  if (mesh.has_enable_tracing() && !mesh.enable_tracing().value()) return;
  Tracing& tracing = *to.mutable_tracing();
  const auto& settings = mesh.default_config().tracing();
  tracing.mutable_client_sampling()->set_value(100);
  tracing.mutable_overall_sampling()->set_value(100);
  tracing.mutable_random_sampling()->set_value(settings.has_sampling() ? settings.sampling().value()
                                                                       : kSamplingPercentElse);
  // Tags in alphabetical order, as Istio sends them.
  AddDryRunTag("istio.authorization.dry_run.allow_policy.name",
               "istio_dry_run_allow_shadow_effective_policy_id", tracing);
  AddDryRunTag("istio.authorization.dry_run.allow_policy.result",
               "istio_dry_run_allow_shadow_engine_result", tracing);
  AddDryRunTag("istio.authorization.dry_run.deny_policy.name",
               "istio_dry_run_deny_shadow_effective_policy_id", tracing);
  AddDryRunTag("istio.authorization.dry_run.deny_policy.result",
               "istio_dry_run_deny_shadow_engine_result", tracing);
  // Injection sets these two labels; other labels are not looked at here, as in Istio.
  AddLiteralTag("istio.canonical_revision",
                Label(proxy, "service.istio.io/canonical-revision", kLatestRevision), tracing);
  AddLiteralTag("istio.canonical_service",
                Label(proxy, "service.istio.io/canonical-name", "unknown"), tracing);
  AddLiteralTag("istio.cluster_id", proxy.cluster_id, tracing);
  const std::string& mesh_id = mesh.default_config().mesh_id();
  AddLiteralTag("istio.mesh_id", mesh_id.empty() ? mesh.trust_domain() : mesh_id, tracing);
  AddLiteralTag("istio.namespace", proxy.ns, tracing);
}

}  // namespace meltemi::pilot
