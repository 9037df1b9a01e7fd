// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "pilot/translate/testing/fake_reader.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using istio::networking::v1::ClientTLSSettings;
using ::testing::ElementsAre;

constexpr const char* kName = "outbound|9080||reviews.default.svc.cluster.local";
const ServiceKey kReviews{"reviews.default.svc.cluster.local", "default"};

Endpoint At(const std::string& ip, const std::string& zone, const std::string& version) {
  Endpoint endpoint;
  endpoint.address = ip;
  endpoint.port = 9080;
  endpoint.ns = "default";
  endpoint.workload = "reviews-" + version;
  endpoint.cluster_id = "Kubernetes";
  endpoint.labels = {{"app", "reviews"}, {"version", version}};
  endpoint.locality = {"r1", zone, ""};
  endpoint.has_mutual_tls = true;
  return endpoint;
}

class EndpointsTest : public ::testing::Test {
 protected:
  EndpointsTest() {
    reader_.AddService("reviews", {{"http", 9080, Protocol::kHttp, 9080, ""}});
    list() = {At("10.0.0.1", "z2", "v1"), At("10.0.0.2", "z1", "v2"), At("10.0.0.3", "z2", "v2")};
  }
  EndpointList& list() { return reader_.endpoints[{kReviews, 9080}]; }
  std::unique_ptr<envoy::config::endpoint::v3::ClusterLoadAssignment> Build(
      const std::string& name = kName) {
    return BuildEndpoints(reader_, SidecarFacts(), name);
  }
  bool IsMutual(int index) {
    const auto built = Build();
    const auto& metadata = built->endpoints(0).lb_endpoints(index).metadata().filter_metadata();
    return metadata.contains("envoy.transport_socket_match");
  }
  FakeReader reader_;
};

TEST_F(EndpointsTest, GroupsByLocalityWithSumsOfWeights) {
  list()[0].weight = 3;
  const auto built = Build();
  EXPECT_EQ(built->cluster_name(), kName);
  ASSERT_EQ(built->endpoints_size(), 2);
  EXPECT_EQ(built->endpoints(0).locality().zone(), "z1");
  EXPECT_EQ(built->endpoints(1).load_balancing_weight().value(), 4U);
  const auto& first = built->endpoints(1).lb_endpoints(0);
  EXPECT_EQ(first.endpoint().address().socket_address().address(), "10.0.0.1");
  EXPECT_EQ(first.metadata().filter_metadata().at("istio").fields().at("workload").string_value(),
            "reviews-v1;default;reviews;v1;Kubernetes");
}

TEST_F(EndpointsTest, SubsetsTakeThoseWithTheirLabels) {
  reader_.policies[kReviews].subsets = {{"v2", {{"version", "v2"}}, {}}};
  const auto built = Build("outbound|9080|v2|reviews.default.svc.cluster.local");
  ASSERT_EQ(built->endpoints_size(), 2);
  EXPECT_EQ(built->endpoints(1).lb_endpoints_size(), 1);
}

TEST_F(EndpointsTest, MutualTlsAsTheWorkloadTakesIt) {
  for (Endpoint& endpoint : list()) endpoint.locality = {};
  list()[1].has_mutual_tls = false;
  EXPECT_TRUE(IsMutual(0));
  EXPECT_FALSE(IsMutual(1));
  reader_.tls.ports[9080] = MutualTls::kDisable;
  EXPECT_FALSE(IsMutual(0));
  // A rule that asks for it is not overruled by what was inferred.
  reader_.policies[kReviews].policy.mutable_tls()->set_mode(ClientTLSSettings::ISTIO_MUTUAL);
  EXPECT_TRUE(IsMutual(0));
  EXPECT_FALSE(IsMutual(1));
  reader_.tls.ports.clear();
  reader_.policies[kReviews].policy.mutable_tls()->set_mode(ClientTLSSettings::SIMPLE);
  EXPECT_FALSE(IsMutual(0));
}

TEST_F(EndpointsTest, TellsHealth) {
  for (Endpoint& endpoint : list()) endpoint.locality = {};
  list()[0].is_ready = false;
  list()[1].is_draining = true;
  namespace core = envoy::config::core::v3;
  auto built = Build();
  ASSERT_EQ(built->endpoints(0).lb_endpoints_size(), 3);
  EXPECT_EQ(built->endpoints(0).lb_endpoints(0).health_status(), core::UNHEALTHY);
  EXPECT_EQ(built->endpoints(0).lb_endpoints(1).health_status(), core::DRAINING);
  EXPECT_EQ(built->endpoints(0).lb_endpoints(2).health_status(), core::UNKNOWN);
  reader_.policies[kReviews].policy.mutable_outlier_detection()->set_min_health_percent(10);
  built = Build();
  EXPECT_EQ(built->endpoints(0).lb_endpoints_size(), 2);
}

TEST_F(EndpointsTest, NothingForNamesThatAreNotThere) {
  EXPECT_EQ(Build("outbound|80||reviews.default.svc.cluster.local"), nullptr);
  EXPECT_EQ(Build("outbound|9080|v9|reviews.default.svc.cluster.local"), nullptr);
  EXPECT_EQ(Build("inbound|9080||"), nullptr);
  list().clear();
  EXPECT_EQ(Build()->endpoints_size(), 0);
}

}  // namespace
}  // namespace meltemi::pilot
