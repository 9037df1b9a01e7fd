// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/node_facts.h"

#include <nlohmann/json.hpp>

namespace meltemi::proxy {
namespace {

std::string Text(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

NodeFacts ParseNode(const std::string& metadata_json) {
  NodeFacts facts;
  const nlohmann::json node = nlohmann::json::parse(metadata_json, nullptr, false);
  if (!node.is_object()) return facts;
  facts.workload = Text(node, "WORKLOAD_NAME");
  facts.workload_namespace = Text(node, "NAMESPACE");
  facts.cluster = Text(node, "CLUSTER_ID");
  if (const auto labels = node.find("LABELS"); labels != node.end()) {
    facts.app = Text(*labels, "app");
    facts.version = Text(*labels, "version");
    facts.canonical_service = Text(*labels, "service.istio.io/canonical-name");
    facts.canonical_revision = Text(*labels, "service.istio.io/canonical-revision");
  }
  // Istio's rules where the labels are not given.
  if (facts.canonical_service.empty()) {
    facts.canonical_service = facts.app.empty() ? facts.workload : facts.app;
  }
  if (facts.canonical_revision.empty()) {
    facts.canonical_revision = facts.version.empty() ? "latest" : facts.version;
  }
  const std::string account = Text(node, "SERVICE_ACCOUNT");
  if (!account.empty()) {
    facts.identity_path = "/ns/" + facts.workload_namespace + "/sa/" + account;
  }
  return facts;
}

}  // namespace meltemi::proxy
