// SPDX-License-Identifier: Apache-2.0
// Listeners and routes against what Istio's own control plane served for the same objects. The
// numbers are what is reached; what differs is printed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/names.h"
#include "pilot/translate/testing/comparison.h"

namespace meltemi::pilot {
namespace {

constexpr const char* kListenerType = "envoy.config.listener.v3.Listener";
constexpr const char* kRouteType = "envoy.config.route.v3.RouteConfiguration";

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
  int listeners, routes;  // at least so many are equal
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.scenario << '/' << c.proxy;
}

class OutboundReferenceTest : public ::testing::TestWithParam<Case> {};

TEST_P(OutboundReferenceTest, EqualsIstio) {
  const Case& param = GetParam();
  Comparison comparison(param.scenario, param.proxy);
  if (comparison.is_absent()) GTEST_SKIP() << kReferenceFolder << " or build/xds is absent";
  const auto check = [&](const char* what, const ReferenceScore& score, int floor) {
    const std::string text = score.Text(fmt::format("{}/{} {}", param.scenario, param.proxy, what));
    std::cout << text;
    EXPECT_GE(score.equal, floor) << text;
  };
  check("listeners", CompareListeners(comparison), param.listeners);
  check("routes", CompareRoutes(comparison), param.routes);
}

INSTANTIATE_TEST_SUITE_P(
    All, OutboundReferenceTest,
    ::testing::Values(Case{"plain", "client", 8, 3}, Case{"plain", "web", 8, 3},
                      Case{"plain", "gateway", 0, 0}, Case{"virtualservice", "client", 8, 3},
                      Case{"virtualservice", "web", 8, 3}, Case{"virtualservice", "gateway", 0, 0},
                      Case{"destinationrule", "client", 8, 3}, Case{"destinationrule", "web", 8, 3},
                      Case{"serviceentry", "client", 12, 4}, Case{"serviceentry", "web", 12, 4},
                      Case{"headless", "client", 10, 5}, Case{"headless", "web", 9, 5},
                      Case{"gateway", "client", 8, 3}, Case{"gateway", "web", 8, 3},
                      Case{"gateway", "gateway", 3, 3}),
    [](const ::testing::TestParamInfo<Case>& info) {
      return fmt::format("{}_{}", info.param.scenario, info.param.proxy);
    });

}  // namespace
}  // namespace meltemi::pilot
