// SPDX-License-Identifier: Apache-2.0
// What the routes of a VirtualService do to requests: cases the reference scenarios do not have.
#include "pilot/translate/virtual_service_routes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "pilot/testing/mesh_fixture.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::route::v3;
using testing::MeshFixture;

constexpr const char* kMesh = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: http, port: 80}, {name: other, port: 81}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec:
  host: web
  subsets:
  - name: sticky
    labels: {v: '1'}
    trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
)";

// The routes of a VirtualService whose http list is `http`.
v3::VirtualHost Routes(const std::string& http, bool is_tls = false) {
  MeshFixture mesh(kMesh + http);
  const ProxyFacts proxy = MeshFixture::Sidecar("default");
  const RouteScope scope{proxy, {"mesh"}, 80, is_tls};
  v3::VirtualHost host;
  const auto routings = mesh.reader().Routings("default", "mesh");
  if (routings->empty()) {
    ADD_FAILURE() << "no VirtualService";
    return host;
  }
  AddVirtualServiceRoutes(mesh.reader(), scope, *routings->front(), host);
  return host;
}
v3::Route FirstRoute(const std::string& http, bool is_tls = false) {
  const v3::VirtualHost host = Routes(http, is_tls);
  if (host.routes().empty()) {
    ADD_FAILURE() << "no route from " << http;
    return {};
  }
  return host.routes(0);
}
constexpr const char* kRoute = "    route: [{destination: {host: web}}]\n";

TEST(VirtualServiceRoutesTest, RetriesCanBeSwitchedOff) {
  EXPECT_FALSE(
      FirstRoute(std::string("  - retries: {attempts: 0}\n") + kRoute).route().has_retry_policy());
  EXPECT_EQ(FirstRoute(std::string("  - name: x\n") + kRoute)
                .route()
                .retry_policy()
                .num_retries()
                .value(),
            2u);
}

TEST(VirtualServiceRoutesTest, RetryOnKeepsConditionsAndTakesCodesOut) {
  const auto policy =
      FirstRoute(std::string("  - retries: {attempts: 1, retryOn: '503,5xx,504'}\n") + kRoute)
          .route()
          .retry_policy();
  EXPECT_EQ(policy.retry_on(), "5xx,retriable-status-codes");
  ASSERT_EQ(policy.retriable_status_codes_size(), 2);
  EXPECT_EQ(policy.retriable_status_codes(1), 504u);
}

TEST(VirtualServiceRoutesTest, HashedDestinationIsRetriedWhereItWas) {
  const auto action =
      FirstRoute("  - route: [{destination: {host: web, subset: sticky}}]\n").route();
  ASSERT_EQ(action.hash_policy_size(), 1);
  EXPECT_EQ(action.hash_policy(0).header().header_name(), "x-user");
  EXPECT_EQ(action.retry_policy().retry_host_predicate_size(), 0);
}

TEST(VirtualServiceRoutesTest, RedirectLeavesOutASchemesOwnPort) {
  const auto redirect = [](const std::string& fields, bool is_tls = false) {
    return FirstRoute("  - redirect: {" + fields + "}\n", is_tls).redirect();
  };
  EXPECT_EQ(redirect("port: 8443").port_redirect(), 8443u);
  EXPECT_EQ(redirect("port: 80").port_redirect(), 0u);
  EXPECT_EQ(redirect("port: 443, scheme: https").port_redirect(), 0u);
  EXPECT_EQ(redirect("port: 443").port_redirect(), 443u);
  EXPECT_EQ(redirect("port: 443", true).port_redirect(), 0u);
  EXPECT_EQ(redirect("derivePort: FROM_REQUEST_PORT, scheme: https").port_redirect(), 80u);
  EXPECT_EQ(redirect("redirectCode: 303, uri: /x").response_code(), v3::RedirectAction::SEE_OTHER);
  EXPECT_TRUE(Routes("  - redirect: {redirectCode: 305, uri: /x}\n").routes().empty());
}

TEST(VirtualServiceRoutesTest, AuthorityHeaderIsARewrite) {
  const auto route =
      FirstRoute("  - headers: {request: {set: {Host: a.example.com, x-b: c}}}\n    name: x\n" +
                 std::string(kRoute));
  EXPECT_EQ(route.route().host_rewrite_literal(), "a.example.com");
  ASSERT_EQ(route.request_headers_to_add_size(), 1);
  EXPECT_EQ(route.request_headers_to_add(0).header().key(), "x-b");
}

TEST(VirtualServiceRoutesTest, WeightedDestinationsHaveTheirOwnHeaders) {
  const auto route = FirstRoute(R"(  - route:
    - destination: {host: web, port: {number: 81}}
      weight: 3
      headers: {response: {add: {x-from: a}}, request: {set: {':authority': b.example.com}}}
    - {destination: {host: web}, weight: 0}
    - {destination: {host: web}, weight: 1}
)");
  const auto& clusters = route.route().weighted_clusters();
  ASSERT_EQ(clusters.clusters_size(), 2);  // without the one of weight 0
  EXPECT_EQ(clusters.clusters(0).name(), "outbound|81||web.default.svc.cluster.local");
  EXPECT_EQ(clusters.clusters(0).response_headers_to_add(0).header().value(), "a");
  EXPECT_EQ(clusters.clusters(0).host_rewrite_literal(), "b.example.com");
  EXPECT_EQ(clusters.clusters(1).weight().value(), 1u);
}

TEST(VirtualServiceRoutesTest, MirrorOfZeroPercentIsNone) {
  const std::string mirror = "  - mirror: {host: web}\n    mirrorPercentage: {value: ";
  EXPECT_EQ(FirstRoute(mirror + "0}\n" + kRoute).route().request_mirror_policies_size(), 0);
  const auto share = FirstRoute(mirror + "0.5}\n" + kRoute)
                         .route()
                         .request_mirror_policies(0)
                         .runtime_fraction()
                         .default_value();
  EXPECT_EQ(share.numerator(), 5000u);
  EXPECT_EQ(share.denominator(), envoy::type::v3::FractionalPercent::MILLION);
}

TEST(VirtualServiceRoutesTest, AbortWithGrpcStatus) {
  const auto route = FirstRoute(std::string("  - fault: {abort: {grpcStatus: UNAVAILABLE, "
                                            "percentage: {value: 100}}}\n    name: x\n") +
                                kRoute);
  envoy::extensions::filters::http::fault::v3::HTTPFault fault;
  ASSERT_TRUE(route.typed_per_filter_config().at("envoy.filters.http.fault").UnpackTo(&fault));
  EXPECT_EQ(fault.abort().grpc_status(), 14u);
  EXPECT_FALSE(fault.has_delay());
}

TEST(VirtualServiceRoutesTest, UnmatchedPreflightsMayBeIgnored) {
  const auto route = FirstRoute(
      std::string("  - corsPolicy: {allowOrigins: [{prefix: 'https://a'}], unmatchedPreflights: "
                  "IGNORE}\n    name: x\n") +
      kRoute);
  envoy::extensions::filters::http::cors::v3::CorsPolicy cors;
  ASSERT_TRUE(route.typed_per_filter_config().at("envoy.filters.http.cors").UnpackTo(&cors));
  EXPECT_FALSE(cors.forward_not_matching_preflights().value());
  EXPECT_EQ(cors.allow_origin_string_match(0).prefix(), "https://a");
}

TEST(VirtualServiceRoutesTest, EachMatchIsARouteNamedAfterBoth) {
  const v3::VirtualHost host = Routes(R"(  - name: r
    match: [{name: a, uri: {exact: /a}}, {uri: {prefix: /}}, {name: never, uri: {prefix: /b}}]
    route: [{destination: {host: web}}]
)");
  ASSERT_EQ(host.routes_size(), 2);  // the second takes everything
  EXPECT_EQ(host.routes(0).name(), "r.a");
  EXPECT_EQ(host.routes(1).name(), "r");
  EXPECT_EQ(host.routes(0).decorator().operation(), "web.default.svc.cluster.local:80/a");
}

TEST(VirtualServiceRoutesTest, GatewaysOfAMatchTakePlaceOfItsSource) {
  EXPECT_TRUE(Routes(R"(  - match: [{gateways: [gw]}]
    route: [{destination: {host: web}}]
)")
                  .routes()
                  .empty());
  EXPECT_EQ(Routes(R"(  - match: [{gateways: [mesh, gw], sourceLabels: {no: such}}]
    route: [{destination: {host: web}}]
)")
                .routes_size(),
            1);
}

// Our proxy has no such extension and would refuse the whole configuration.
TEST(VirtualServiceRoutesTest, RemoteLocalitiesOnlyForProxiesThatKnowThem) {
  MeshFixture mesh(
      kMesh + std::string("  - retries: {attempts: 1, retryRemoteLocalities: true}\n") + kRoute);
  ProxyFacts proxy = MeshFixture::Sidecar("default");
  const auto has_priority = [&] {
    const RouteScope scope{proxy, {"mesh"}, 80, false};
    v3::VirtualHost host;
    AddVirtualServiceRoutes(mesh.reader(), scope,
                            *mesh.reader().Routings("default", "mesh")->front(), host);
    return host.routes(0).route().retry_policy().has_retry_priority();
  };
  EXPECT_TRUE(has_priority());
  proxy.is_meltemi = true;
  EXPECT_FALSE(has_priority());
}

}  // namespace
}  // namespace meltemi::pilot
