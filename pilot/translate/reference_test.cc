// SPDX-License-Identifier: Apache-2.0
// Clusters, endpoints and the inbound listener against what Istio's own control plane served for
// the same objects. The floors are what is reached; what differs is printed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/testing/mesh_fixture.h"
#include "pilot/translate/inbound_listener.h"
#include "pilot/translate/names.h"
#include "pilot/translate/testing/xds_reference.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using nlohmann::json;

constexpr const char* kClusterType = "envoy.config.cluster.v3.Cluster";
constexpr const char* kEndpointType = "envoy.config.endpoint.v3.ClusterLoadAssignment";
constexpr const char* kListenerType = "envoy.config.listener.v3.Listener";

// Their control plane ran without endpoints from EndpointSlices (every Kubernetes Service's
// assignment is empty in the dumps), which also decides names in certificates: ours must not know
// more.
std::string WithoutSlices(const std::string& yaml) {
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
istio::mesh::v1alpha1::MeshConfig ReferenceMesh() {
  auto mesh = DefaultMeshConfig();
  mesh.clear_default_providers();
  mesh.clear_access_log_file();
  return mesh;
}

class Comparison {
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

  ReferenceScore Clusters() {
    const Names names = ClusterNames(mesh_.reader(), facts_);
    return Compare(kClusterType, {names.begin(), names.end()}, [&](const std::string& name) {
      return BuildCluster(mesh_.reader(), facts_, name);
    });
  }
  ReferenceScore Endpoints() {
    std::set<std::string> names;
    for (const std::string& name : ClusterNames(mesh_.reader(), facts_)) {
      const auto cluster = BuildCluster(mesh_.reader(), facts_, name);
      if (cluster != nullptr && cluster->has_eds_cluster_config()) names.insert(name);
    }
    return Compare(kEndpointType, names, [&](const std::string& name) {
      return BuildEndpoints(mesh_.reader(), facts_, name);
    });
  }
  ReferenceScore Inbound() {
    ReferenceScore score;
    const json& theirs = reference_->Resources(kListenerType);
    const auto ours = BuildVirtualInbound(mesh_.reader(), facts_);
    const std::string name(kVirtualInbound);
    EXPECT_EQ(ours != nullptr, theirs.contains(name));
    if (ours != nullptr && theirs.contains(name)) Add(name, theirs[name], *ours, score);
    return score;
  }

 private:
  void Add(const std::string& name, const json& theirs, const google::protobuf::Message& ours,
           ReferenceScore& score) {
    auto paths = reference_->Differences(theirs, ours);
    if (paths.empty()) {
      ++score.equal;
    } else {
      score.different.emplace(name, std::move(paths));
    }
  }
  template <typename Build>
  ReferenceScore Compare(const char* type, const std::set<std::string>& names, Build build) {
    ReferenceScore score;
    const json& theirs = reference_->Resources(type);
    for (const auto& [name, resource] : theirs.items()) {
      const auto ours = build(name);
      if (!names.contains(name) || ours == nullptr) {
        score.only_theirs.push_back(name);
      } else {
        Add(name, resource, *ours, score);
      }
    }
    for (const std::string& name : names) {
      if (!theirs.contains(name)) score.only_ours.push_back(name);
    }
    return score;
  }

  std::unique_ptr<XdsReference> reference_;
  testing::MeshFixture mesh_;
  ProxyFacts facts_;
};

struct Case {
  const char* scenario;
  const char* proxy;
  int clusters, endpoints, inbound;  // at least so many are equal
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.scenario << '/' << c.proxy;
}

class ReferenceTest : public ::testing::TestWithParam<Case> {};

TEST_P(ReferenceTest, EqualsIstio) {
  const Case& param = GetParam();
  Comparison comparison(param.scenario, param.proxy);
  if (comparison.is_absent()) GTEST_SKIP() << kReferenceFolder << " or build/xds is absent";
  const auto check = [&](const char* what, const ReferenceScore& score, int floor) {
    const std::string text = score.Text(fmt::format("{}/{} {}", param.scenario, param.proxy, what));
    std::cout << text;
    EXPECT_GE(score.equal, floor) << text;
  };
  check("clusters", comparison.Clusters(), param.clusters);
  check("endpoints", comparison.Endpoints(), param.endpoints);
  check("inbound", comparison.Inbound(), param.inbound);
}

INSTANTIATE_TEST_SUITE_P(
    All, ReferenceTest,
    ::testing::Values(
        Case{"plain", "client", 12, 8, 1}, Case{"plain", "web", 16, 8, 1},
        Case{"plain", "gateway", 9, 8, 0}, Case{"virtualservice", "client", 22, 18, 1},
        Case{"virtualservice", "web", 26, 18, 1}, Case{"virtualservice", "gateway", 19, 18, 0},
        Case{"destinationrule", "client", 22, 18, 1}, Case{"destinationrule", "web", 26, 18, 1},
        Case{"destinationrule", "gateway", 19, 18, 0},
        Case{"peerauthentication", "client", 12, 8, 1}, Case{"peerauthentication", "web", 16, 8, 1},
        Case{"peerauthentication", "gateway", 9, 8, 0}, Case{"serviceentry", "client", 19, 11, 1},
        Case{"serviceentry", "web", 23, 11, 1}, Case{"serviceentry", "gateway", 16, 13, 0},
        Case{"headless", "client", 15, 9, 1}, Case{"headless", "web", 20, 9, 1},
        Case{"headless", "gateway", 11, 10, 0}, Case{"gateway", "client", 12, 8, 1},
        Case{"gateway", "web", 16, 8, 1}, Case{"gateway", "gateway", 9, 8, 0}),
    [](const ::testing::TestParamInfo<Case>& info) {
      return fmt::format("{}_{}", info.param.scenario, info.param.proxy);
    });

}  // namespace
}  // namespace meltemi::pilot
