// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/proxy_facts.h"

#include <gtest/gtest.h>
#include "absl/hash/hash.h"

namespace meltemi::pilot {
namespace {

xds::NodeInfo Node(std::string id, std::string metadata = "") {
  xds::NodeInfo node;
  node.id = std::move(id);
  node.metadata_json = std::move(metadata);
  return node;
}

constexpr const char* kWeb = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local";

TEST(ProxyFacts, OfAnIstioSidecar) {
  const auto facts = ProxyFacts::Of(Node(
      kWeb, R"({"NAMESPACE":"shop","LABELS":{"app":"web","version":"v1"},"SERVICE_ACCOUNT":"web",
                "CLUSTER_ID":"east","PROXY_CONFIG":{"concurrency":1}})"));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->role, Role::kSidecar);
  EXPECT_EQ(facts->ns, "shop");
  EXPECT_EQ(facts->labels.at("version"), "v1");
  EXPECT_EQ(facts->service_account, "web");
  EXPECT_EQ(facts->cluster_id, "east");
  EXPECT_EQ(facts->domain, "cluster.local");
  EXPECT_TRUE(facts->has_istio_filters);
  EXPECT_FALSE(facts->is_meltemi);
}

TEST(ProxyFacts, NamespaceFallsBackToTheDomain) {
  const auto facts = ProxyFacts::Of(Node("router~10.0.0.1~gw-1.edge~edge.svc.mesh.test"));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->role, Role::kRouter);
  EXPECT_EQ(facts->ns, "edge");
  EXPECT_EQ(facts->domain, "mesh.test");
}

TEST(ProxyFacts, ReplicasOfOneWorkloadAreEqual) {
  const std::string metadata = R"({"LABELS":{"app":"web"},"INSTANCE_IPS":"10.0.0.1"})";
  const std::string other = R"({"LABELS":{"app":"web"},"INSTANCE_IPS":"10.0.0.2"})";
  const auto one = ProxyFacts::Of(Node(kWeb, metadata));
  const auto two =
      ProxyFacts::Of(Node("sidecar~10.0.0.2~web-2.shop~shop.svc.cluster.local", other));
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(*one, *two);
  EXPECT_EQ(absl::HashOf(*one), absl::HashOf(*two));
}

TEST(ProxyFacts, AStockEnvoyNamesItsExtensions) {
  xds::NodeInfo node = Node(kWeb);
  node.extensions = {"envoy.filters.network.tcp_proxy"};
  EXPECT_FALSE(ProxyFacts::Of(node)->has_istio_filters);
  node.extensions.push_back("istio.metadata_exchange");
  EXPECT_TRUE(ProxyFacts::Of(node)->has_istio_filters);
}

TEST(ProxyFacts, RefusesWhatIsNoNode) {
  for (const char* id : {"", "sidecar", "sidecar~10.0.0.1~web.shop", "waypoint~10.0.0.1~w.s~s.svc",
                         "sidecar~1~2~3~4", "sidecar~10.0.0.1~web.shop~", "sidecar~1~a.b~../x"}) {
    EXPECT_FALSE(ProxyFacts::Of(Node(id)).ok()) << id;
  }
  EXPECT_FALSE(ProxyFacts::Of(Node(std::string(2000, 'x'))).ok());
  EXPECT_FALSE(ProxyFacts::Of(Node(kWeb, "[1,2]")).ok());
  EXPECT_FALSE(ProxyFacts::Of(Node(kWeb, "{\"NAMESPACE\":")).ok());
  EXPECT_FALSE(ProxyFacts::Of(Node(kWeb, R"({"NAMESPACE":"a/b"})")).ok());
  EXPECT_FALSE(
      ProxyFacts::Of(Node(kWeb, R"({"LABELS":{"k":")" + std::string(600, 'v') + "\"}}")).ok());
}

TEST(ProxyFacts, SidecarsOfANamespaceShareTheirOutboundScope) {
  ProxyFacts a, b;
  a.ns = b.ns = "shop";
  a.labels = {{"app", "web"}};
  b.labels = {{"app", "db"}};
  b.service_account = "db";
  EXPECT_EQ(a.OutboundScope(), b.OutboundScope());
  b.ns = "other";
  EXPECT_NE(a.OutboundScope(), b.OutboundScope());
  a.role = Role::kRouter;
  EXPECT_EQ(a.OutboundScope().labels, a.labels);
}

}  // namespace
}  // namespace meltemi::pilot
