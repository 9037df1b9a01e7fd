// SPDX-License-Identifier: Apache-2.0
// Clusters and endpoints against what Istio's own control plane served for
// the same objects. The floors are what is reached; what differs is printed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "pilot/translate/testing/comparison.h"

namespace meltemi::pilot {
namespace {

constexpr const char* kClusterType = "envoy.config.cluster.v3.Cluster";
constexpr const char* kEndpointType = "envoy.config.endpoint.v3.ClusterLoadAssignment";

ReferenceScore CompareClusters(Comparison& comparison) {
  const Names names = ClusterNames(comparison.reader(), comparison.facts());
  return comparison.Compare(kClusterType, {names.begin(), names.end()},
                            [&](const std::string& name) {
                              return BuildCluster(comparison.reader(), comparison.facts(), name);
                            });
}

// Of the clusters that ask for them by EDS.
ReferenceScore CompareEndpoints(Comparison& comparison) {
  std::set<std::string> names;
  for (const std::string& name : ClusterNames(comparison.reader(), comparison.facts())) {
    const auto cluster = BuildCluster(comparison.reader(), comparison.facts(), name);
    if (cluster != nullptr && cluster->has_eds_cluster_config()) names.insert(name);
  }
  return comparison.Compare(kEndpointType, names, [&](const std::string& name) {
    return BuildEndpoints(comparison.reader(), comparison.facts(), name);
  });
}

struct Case {
  const char* scenario;
  const char* proxy;
  int clusters, endpoints;  // at least so many are equal
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
  check("clusters", CompareClusters(comparison), param.clusters);
  check("endpoints", CompareEndpoints(comparison), param.endpoints);
}

// headless/web: theirs serves the Service "sticky" at port 0, which it could not resolve; ours at
// 8080, which it says. The inbound cluster of 8080 differs by that.
INSTANTIATE_TEST_SUITE_P(
    All, ReferenceTest,
    ::testing::Values(
        Case{"plain", "client", 12, 8}, Case{"plain", "web", 16, 8}, Case{"plain", "gateway", 9, 8},
        Case{"virtualservice", "client", 22, 18}, Case{"virtualservice", "web", 26, 18},
        Case{"virtualservice", "gateway", 19, 18}, Case{"destinationrule", "client", 22, 18},
        Case{"destinationrule", "web", 26, 18}, Case{"destinationrule", "gateway", 19, 18},
        Case{"peerauthentication", "client", 12, 8}, Case{"peerauthentication", "web", 16, 8},
        Case{"peerauthentication", "gateway", 9, 8}, Case{"serviceentry", "client", 19, 11},
        Case{"serviceentry", "web", 23, 11}, Case{"serviceentry", "gateway", 16, 13},
        Case{"headless", "client", 15, 9}, Case{"headless", "web", 18, 9},
        Case{"headless", "gateway", 11, 10}, Case{"gateway", "client", 12, 8},
        Case{"gateway", "web", 16, 8}, Case{"gateway", "gateway", 9, 8}),
    [](const ::testing::TestParamInfo<Case>& info) {
      return fmt::format("{}_{}", info.param.scenario, info.param.proxy);
    });

}  // namespace
}  // namespace meltemi::pilot
