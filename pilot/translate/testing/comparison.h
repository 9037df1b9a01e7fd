// SPDX-License-Identifier: Apache-2.0
// One proxy of a reference scenario: the same objects given to us, our resources against Istio's.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "pilot/testing/mesh_fixture.h"
#include "pilot/translate/testing/xds_reference.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {

// Their control plane ran without endpoints from EndpointSlices (every Kubernetes Service's
// assignment is empty in the dumps), which also decides names in certificates and listeners of
// headless services: ours must not know more.
inline std::string WithoutSlices(const std::string& yaml) {
  std::string kept;
  for (size_t at = 0; at < yaml.size();) {
    size_t end = yaml.find("\n---", at);
    end = end == std::string::npos ? yaml.size() : end + 1;
    const std::string_view document = std::string_view(yaml).substr(at, end - at);
    if (document.find("kind: EndpointSlice") == std::string_view::npos) kept += document;
    at = end;
  }
  return kept;
}

// The dumps were made without the chart's defaults for telemetry.
inline istio::mesh::v1alpha1::MeshConfig ReferenceMesh() {
  auto mesh = DefaultMeshConfig();
  mesh.clear_default_providers();
  mesh.clear_access_log_file();
  return mesh;
}

class Comparison final {
 public:
  Comparison(const std::string& scenario, const std::string& proxy)
      : reference_(XdsReference::Load(scenario, proxy)),
        mesh_(WithoutSlices(testing::ReferenceObjects(scenario)), ReferenceMesh()) {
    if (reference_ == nullptr) return;
    xds::NodeInfo node;
    node.id = reference_->node()["id"].get<std::string>();
    node.metadata_json = reference_->node()["metadata"].dump();
    auto facts = ProxyFacts::Of(node);
    EXPECT_TRUE(facts.ok()) << facts.status();
    if (facts.ok()) facts_ = *facts;
  }
  bool is_absent() const { return reference_ == nullptr; }
  Reader& reader() { return mesh_.reader(); }
  const ProxyFacts& facts() const { return facts_; }
  const nlohmann::json& Resources(const std::string& type) const {
    return reference_->Resources(type);
  }

  // All resources of a type: `names` are ours, `build` makes one.
  template <typename Build>
  ReferenceScore Compare(const std::string& type, const std::set<std::string>& names,
                         Build build) const {
    ReferenceScore score;
    const nlohmann::json& theirs = reference_->Resources(type);
    for (const auto& [name, resource] : theirs.items()) {
      const auto ours = build(name);
      if (!names.contains(name) || ours == nullptr) {
        score.only_theirs.push_back(name);
        continue;
      }
      auto paths = reference_->Differences(resource, *ours);
      if (paths.empty()) {
        ++score.equal;
      } else {
        score.different.emplace(name, std::move(paths));
      }
    }
    for (const std::string& name : names) {
      if (!theirs.contains(name)) score.only_ours.push_back(name);
    }
    return score;
  }

 private:
  std::unique_ptr<XdsReference> reference_;
  testing::MeshFixture mesh_;
  ProxyFacts facts_;
};

}  // namespace meltemi::pilot
