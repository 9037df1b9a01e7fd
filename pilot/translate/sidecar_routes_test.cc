// SPDX-License-Identifier: Apache-2.0
// Outbound routes of sidecars: which virtual hosts stand where, and whose routes they have.
#include "pilot/translate/sidecar_routes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "envoy/config/route/v3/route.pb.h"
#include "pilot/testing/mesh_fixture.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::RouteConfiguration;
using envoy::config::route::v3::VirtualHost;
using testing::MeshFixture;

constexpr const char* kBookinfo = R"(
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: http, port: 9080}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: shop}
spec:
  clusterIP: 10.0.0.2
  ports: [{name: http, port: 9080}, {name: tcp, port: 9090}]
)";

std::string Routed(const std::string& name, const std::string& host, const std::string& more) {
  return "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name +
         ", namespace: default}\nspec:\n  hosts: ['" + host + "']\n" + more;
}
constexpr const char* kToV2 = R"(
  http:
  - match: [{uri: {prefix: /a}}]
    route:
    - destination: {host: reviews, subset: v1}
      weight: 80
    - destination: {host: reviews, subset: v2}
      weight: 20
  - route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: unreachable}}]
)";

const VirtualHost* Find(const RouteConfiguration& routes, const std::string& name) {
  for (const VirtualHost& host : routes.virtual_hosts()) {
    if (host.name() == name) return &host;
  }
  return nullptr;
}
bool HasDomain(const VirtualHost& host, const std::string& domain) {
  return std::find(host.domains().begin(), host.domains().end(), domain) != host.domains().end();
}

TEST(SidecarRoutesTest, HostsOfPortWithShortNamesAndCatchAll) {
  MeshFixture mesh(kBookinfo);
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "9080");
  ASSERT_EQ(routes->virtual_hosts_size(), 3);
  const VirtualHost* reviews = Find(*routes, "reviews.default.svc.cluster.local:9080");
  ASSERT_NE(reviews, nullptr);
  for (const char* domain :
       {"reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local",
        "reviews.default.svc.cluster.local.", "10.0.0.1"}) {
    EXPECT_TRUE(HasDomain(*reviews, domain)) << domain;
  }
  EXPECT_EQ(reviews->routes(0).route().cluster(),
            "outbound|9080||reviews.default.svc.cluster.local");
  const VirtualHost* ratings = Find(*routes, "ratings.shop.svc.cluster.local:9080");
  ASSERT_NE(ratings, nullptr);
  EXPECT_FALSE(HasDomain(*ratings, "ratings"));  // another namespace's
  EXPECT_TRUE(HasDomain(*ratings, "ratings.shop"));
  EXPECT_EQ(routes->virtual_hosts(2).name(), "allow_any");
  EXPECT_EQ(routes->virtual_hosts(2).routes(0).route().cluster(), "PassthroughCluster");
}

TEST(SidecarRoutesTest, TcpPortsHaveNoHosts) {
  MeshFixture mesh(kBookinfo);
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "9090");
  ASSERT_EQ(routes->virtual_hosts_size(), 1);
  EXPECT_EQ(routes->virtual_hosts(0).name(), "allow_any");
}

TEST(SidecarRoutesTest, RegistryOnlyBlocksTheRest) {
  auto config = DefaultMeshConfig();
  config.mutable_outbound_traffic_policy()->set_mode(
      istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy::REGISTRY_ONLY);
  MeshFixture mesh(kBookinfo, config);
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "9080");
  const VirtualHost* rest = Find(*routes, "block_all");
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(rest->routes(0).direct_response().status(), 502u);
}

TEST(SidecarRoutesTest, VirtualServiceTakesPlaceOfDefault) {
  MeshFixture mesh(kBookinfo + Routed("reviews", "reviews", kToV2));
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "9080");
  const VirtualHost* reviews = Find(*routes, "reviews.default.svc.cluster.local:9080");
  ASSERT_NE(reviews, nullptr);
  ASSERT_EQ(reviews->routes_size(), 2);  // nothing behind the one that takes everything
  const auto& split = reviews->routes(0).route().weighted_clusters();
  ASSERT_EQ(split.clusters_size(), 2);
  EXPECT_EQ(split.clusters(0).name(), "outbound|9080|v1|reviews.default.svc.cluster.local");
  EXPECT_EQ(split.clusters(0).weight().value(), 80u);
  EXPECT_EQ(reviews->routes(1).route().cluster(),
            "outbound|9080|v2|reviews.default.svc.cluster.local");
  EXPECT_EQ(reviews->routes(1).route().timeout().seconds(), 0);
  EXPECT_TRUE(reviews->routes(1).route().has_timeout());
  EXPECT_EQ(Find(*routes, "ratings.shop.svc.cluster.local:9080")->routes(0).name(), "default");
}

TEST(SidecarRoutesTest, ExactHostBeatsWildcardAndOlderBeatsYounger) {
  const std::string all = R"(
  http: [{name: all, route: [{destination: {host: reviews}}]}]
)";
  const std::string exact = R"(
  http: [{name: exact, route: [{destination: {host: reviews}}]}]
)";
  MeshFixture mesh(kBookinfo + Routed("a-all", "*.svc.cluster.local", all) +
                   Routed("b", "reviews", exact) + Routed("c", "reviews", all));
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "9080");
  EXPECT_EQ(Find(*routes, "reviews.default.svc.cluster.local:9080")->routes(0).name(), "exact");
  EXPECT_EQ(Find(*routes, "ratings.shop.svc.cluster.local:9080")->routes(0).name(), "all");
}

TEST(SidecarRoutesTest, MatchesOnSourceDecideHere) {
  MeshFixture mesh(kBookinfo + Routed("reviews", "reviews", R"(
  http:
  - match: [{sourceLabels: {app: web}}]
    name: web
    route: [{destination: {host: reviews}}]
  - match: [{sourceNamespace: shop}]
    name: shop
    route: [{destination: {host: reviews}}]
  - match: [{port: 80}]
    name: other-port
    route: [{destination: {host: reviews}}]
)"));
  const auto first_route = [&](const ProxyFacts& proxy) {
    const auto routes = BuildRoutes(mesh.reader(), proxy, "9080");
    return Find(*routes, "reviews.default.svc.cluster.local:9080")->routes(0).name();
  };
  EXPECT_EQ(first_route(MeshFixture::Sidecar("default", {{"app", "web"}})), "web");
  EXPECT_EQ(first_route(MeshFixture::Sidecar("shop")), "shop");
  // Where no match applies, the service is served as if the VirtualService were not there.
  EXPECT_EQ(first_route(MeshFixture::Sidecar("default")), "default");
}

TEST(SidecarRoutesTest, HostsOutsideTheMeshAreServedOnPort80) {
  MeshFixture mesh(kBookinfo + Routed("ext", "www.example.com", R"(
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
)"));
  const ProxyFacts proxy = MeshFixture::Sidecar("default");
  const auto on_80 = BuildRoutes(mesh.reader(), proxy, "80");
  ASSERT_NE(Find(*on_80, "www.example.com:80"), nullptr);
  const auto on_9080 = BuildRoutes(mesh.reader(), proxy, "9080");
  EXPECT_EQ(Find(*on_9080, "www.example.com:9080"), nullptr);
}

TEST(SidecarRoutesTest, DestinationPortIsTheServicesOnlyOne) {
  MeshFixture mesh(kBookinfo + Routed("ext", "www.example.com", R"(
  http: [{route: [{destination: {host: reviews}}]}]
)"));
  const auto routes = BuildRoutes(mesh.reader(), MeshFixture::Sidecar("default"), "80");
  EXPECT_EQ(Find(*routes, "www.example.com:80")->routes(0).route().cluster(),
            "outbound|9080||reviews.default.svc.cluster.local");
}

TEST(SidecarRoutesTest, DetectedPortServesOneServiceForAnyHost) {
  MeshFixture mesh(R"(
apiVersion: v1
kind: Service
metadata: {name: auto, namespace: default}
spec:
  clusterIP: 10.0.0.3
  ports: [{name: foo, port: 7000}]
)");
  const ProxyFacts proxy = MeshFixture::Sidecar("default");
  const auto routes = BuildRoutes(mesh.reader(), proxy, "auto.default.svc.cluster.local:7000");
  ASSERT_EQ(routes->virtual_hosts_size(), 1);
  EXPECT_TRUE(HasDomain(routes->virtual_hosts(0), "*"));
  // Any other name gets an empty configuration, so that a proxy does not wait for it.
  const auto unknown = BuildRoutes(mesh.reader(), proxy, "no.such.host:1");
  EXPECT_EQ(unknown->name(), "no.such.host:1");
  EXPECT_EQ(unknown->virtual_hosts_size(), 0);
}

}  // namespace
}  // namespace meltemi::pilot
