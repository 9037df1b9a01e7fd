// SPDX-License-Identifier: Apache-2.0
// Clusters, endpoints, listeners and routes against what Istio's own control plane served for the
// same objects. The floors are what is reached; what differs is printed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/names.h"
#include "pilot/translate/testing/comparison.h"

namespace meltemi::pilot {
namespace {

constexpr const char* kClusterType = "envoy.config.cluster.v3.Cluster";
constexpr const char* kEndpointType = "envoy.config.endpoint.v3.ClusterLoadAssignment";
constexpr const char* kListenerType = "envoy.config.listener.v3.Listener";
constexpr const char* kRouteType = "envoy.config.route.v3.RouteConfiguration";

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

ReferenceScore CompareListeners(Comparison& comparison) {
  const Names names = ListenerNames(comparison.reader(), comparison.facts());
  return comparison.Compare(kListenerType, {names.begin(), names.end()},
                            [&](const std::string& name) {
                              return BuildListener(comparison.reader(), comparison.facts(), name);
                            });
}

// Routes have no list of names: proxies ask for what their listeners say.
ReferenceScore CompareRoutes(Comparison& comparison) {
  std::set<std::string> names;
  for (const auto& [name, resource] : comparison.Resources(kRouteType).items()) names.insert(name);
  return comparison.Compare(kRouteType, names, [&](const std::string& name) {
    return BuildRoutes(comparison.reader(), comparison.facts(), name);
  });
}

struct Case {
  const char* scenario;
  const char* proxy;
  int clusters, endpoints, listeners, routes;  // at least so many are equal
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
  check("listeners", CompareListeners(comparison), param.listeners);
  check("routes", CompareRoutes(comparison), param.routes);
}

// headless/web: theirs serves the Service "sticky" at port 0, which it could not resolve; ours at
// 8080, which it says. The inbound cluster of 8080 differs by that.
INSTANTIATE_TEST_SUITE_P(
    All, ReferenceTest,
    ::testing::Values(
        Case{"plain", "client", 12, 8, 8, 3}, Case{"plain", "web", 16, 8, 8, 3},
        Case{"plain", "gateway", 9, 8, 0, 0}, Case{"virtualservice", "client", 22, 18, 8, 3},
        Case{"virtualservice", "web", 26, 18, 8, 3},
        Case{"virtualservice", "gateway", 19, 18, 0, 0},
        Case{"destinationrule", "client", 22, 18, 8, 3},
        Case{"destinationrule", "web", 26, 18, 8, 3},
        Case{"destinationrule", "gateway", 19, 18, 0, 0},
        Case{"peerauthentication", "client", 12, 8, 8, 3},
        Case{"peerauthentication", "web", 16, 8, 8, 3},
        Case{"peerauthentication", "gateway", 9, 8, 0, 0},
        Case{"serviceentry", "client", 19, 11, 12, 4}, Case{"serviceentry", "web", 23, 11, 12, 4},
        Case{"serviceentry", "gateway", 16, 13, 0, 0}, Case{"headless", "client", 15, 9, 10, 5},
        Case{"headless", "web", 18, 9, 9, 5}, Case{"headless", "gateway", 11, 10, 0, 0},
        Case{"gateway", "client", 12, 8, 8, 3}, Case{"gateway", "web", 16, 8, 8, 3},
        Case{"gateway", "gateway", 9, 8, 3, 3}),
    [](const ::testing::TestParamInfo<Case>& info) {
      return fmt::format("{}_{}", info.param.scenario, info.param.proxy);
    });

}  // namespace
}  // namespace meltemi::pilot
