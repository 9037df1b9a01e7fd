// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/proxy_facts.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "lib/identity/spiffe_id.h"

namespace meltemi::pilot {
namespace {

using Json = nlohmann::json;

constexpr size_t kNodeIdBytesMax = 1024;
constexpr size_t kMetadataBytesMax = 256 * 1024;
constexpr size_t kLabelsMax = 512;
constexpr size_t kLabelBytesMax = 512;  // of a key or a value; Kubernetes has 316 and 63

Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(
      "node.id must be ROLE~IP~NAME.NAMESPACE~DOMAIN, as in "
      "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local: " +
      std::string(what));
}

std::optional<std::array<std::string_view, 4>> SplitId(std::string_view id) {
  std::array<std::string_view, 4> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t end = id.find('~');
    if ((end == std::string_view::npos) != (i + 1 == parts.size())) return std::nullopt;
    parts[i] = id.substr(0, end);
    id.remove_prefix(end == std::string_view::npos ? id.size() : end + 1);
  }
  return parts;
}

std::string TextAt(const Json& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found != metadata.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Status ReadLabels(const Json& metadata, std::map<std::string, std::string>& labels) {
  const auto found = metadata.find("LABELS");
  if (found == metadata.end() || !found->is_object()) return absl::OkStatus();
  if (found->size() > kLabelsMax) {
    return absl::InvalidArgumentError("node.metadata.LABELS has more than " +
                                      std::to_string(kLabelsMax) + " labels");
  }
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) continue;
    auto text = value.get<std::string>();
    if (key.size() > kLabelBytesMax || text.size() > kLabelBytesMax) {
      return absl::InvalidArgumentError("node.metadata.LABELS has a label of more than " +
                                        std::to_string(kLabelBytesMax) + " bytes");
    }
    labels.emplace(key, std::move(text));
  }
  return absl::OkStatus();
}

StatusOr<Json> ReadMetadata(const std::string& text) {
  if (text.empty()) return Json::object();
  if (text.size() > kMetadataBytesMax) {
    return absl::InvalidArgumentError("node.metadata has more than " +
                                      std::to_string(kMetadataBytesMax) + " bytes");
  }
  Json metadata = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!metadata.is_object()) return absl::InvalidArgumentError("node.metadata is not an object");
  return metadata;
}

bool HasIstioFilters(const std::vector<std::string>& extensions) {
  return extensions.empty() ||
         std::find(extensions.begin(), extensions.end(), "istio.metadata_exchange") !=
             extensions.end() ||
         std::find(extensions.begin(), extensions.end(),
                   "envoy.filters.network.metadata_exchange") != extensions.end();
}

}  // namespace

StatusOr<ProxyFacts> ProxyFacts::Of(const xds::NodeInfo& node) {
  if (node.id.size() > kNodeIdBytesMax) return Invalid("it is too long");
  const auto parts = SplitId(node.id);
  if (!parts) return Invalid("it has not four parts");
  ProxyFacts facts;
  const auto& [role, ip, name, dns_domain] = *parts;
  if (role == "router") {
    facts.role = Role::kRouter;
  } else if (role != "sidecar") {
    return Invalid("the role must be sidecar or router");
  }
  MELTEMI_ASSIGN_OR_RETURN(const Json metadata, ReadMetadata(node.metadata_json));
  facts.ns = TextAt(metadata, "NAMESPACE");
  if (facts.ns.empty()) facts.ns = dns_domain.substr(0, dns_domain.find('.'));
  if (!identity::IsIdentityPart(facts.ns)) return Invalid("it names no namespace");
  constexpr std::string_view kSvc = ".svc.";
  if (const size_t svc = dns_domain.find(kSvc); svc != std::string_view::npos) {
    facts.domain = dns_domain.substr(svc + kSvc.size());
  }
  facts.service_account = TextAt(metadata, "SERVICE_ACCOUNT");
  if (const std::string cluster = TextAt(metadata, "CLUSTER_ID"); !cluster.empty()) {
    facts.cluster_id = cluster;
  }
  facts.has_istio_filters = HasIstioFilters(node.extensions);
  facts.is_meltemi = metadata.contains("MELTEMI_VERSION");
  MELTEMI_RETURN_IF_ERROR(ReadLabels(metadata, facts.labels));
  return facts;
}

ProxyFacts ProxyFacts::OutboundScope() const {
  ProxyFacts scope = *this;
  if (role == Role::kRouter) return scope;  // Gateways select it by labels
  scope.labels.clear();
  scope.service_account.clear();
  return scope;
}

}  // namespace meltemi::pilot
