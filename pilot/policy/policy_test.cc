// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pilot/policy/policies.h"
#include "pilot/testing/mesh_fixture.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MeshFixture;
using Lb = istio::networking::v1::LoadBalancerSettings;

const ServiceKey kWeb{"web.shop.svc.cluster.local", "shop"};

std::string Rule(const std::string& ns, const std::string& name, const std::string& spec,
                 const std::string& created = "2020-01-01T00:00:00Z") {
  return "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " + name +
         ", namespace: " + ns + ", creationTimestamp: \"" + created + "\"}\nspec: " + spec +
         "\n---\n";
}

Lb::SimpleLB SimpleOf(const DestinationPolicyPtr& policy) {
  return policy == nullptr ? Lb::UNSPECIFIED : policy->policy.load_balancer().simple();
}

TEST(DestinationRules, ClientThenServiceThenRootNamespace) {
  MeshFixture mesh(Rule("istio-system", "root",
                        "{host: '*.local', trafficPolicy: {loadBalancer: {simple: RANDOM}}}"));
  const auto simple = [&](const std::string& ns) {
    return SimpleOf(mesh.reader().Policy(ns, kWeb));
  };
  EXPECT_EQ(simple("client"), Lb::RANDOM);
  mesh.Apply(
      Rule("shop", "own", "{host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}"));
  EXPECT_EQ(simple("client"), Lb::ROUND_ROBIN);
  // A wildcard of the client's namespace beats an exact rule of the service's.
  mesh.Apply(Rule("client", "any",
                  "{host: '*.svc.cluster.local', trafficPolicy: {loadBalancer: {simple: "
                  "LEAST_REQUEST}}}"));
  EXPECT_EQ(simple("client"), Lb::LEAST_REQUEST);
  EXPECT_EQ(simple("other"), Lb::ROUND_ROBIN);
  EXPECT_EQ(simple("istio-system"), Lb::ROUND_ROBIN);  // its public rule is everyone's default
}

TEST(DestinationRules, ExportToHidesARule) {
  MeshFixture mesh(Rule("shop", "own", "{host: web, exportTo: ['.']}"));
  EXPECT_EQ(mesh.reader().Policy("client", kWeb), nullptr);
  EXPECT_NE(mesh.reader().Policy("shop", kWeb), nullptr);
}

TEST(DestinationRules, OldestPolicyAndAllSubsetsMerge) {
  MeshFixture mesh(
      Rule("shop", "young",
           "{host: web.shop.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}, "
           "subsets: [{name: v1, labels: {version: wrong}}, {name: v2, labels: {version: v2}}]}",
           "2021-01-01T00:00:00Z") +
      Rule("shop", "old",
           "{host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}, subsets: [{name: v1, "
           "labels: {version: v1}}]}"));
  const auto policy = mesh.reader().Policy("client", kWeb);
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(SimpleOf(policy), Lb::ROUND_ROBIN);
  EXPECT_EQ(policy->subsets.size(), 2u);
  EXPECT_EQ(policy->Find("v1")->labels.at("version"), "v1");
  EXPECT_EQ(policy->origins.size(), 2u);
  EXPECT_EQ(policy->Find("v3"), nullptr);
}

TEST(DestinationRules, APortReplacesAndASubsetOverlays) {
  MeshFixture mesh(Rule("shop", "r", R"(
  host: web
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings:
    - {port: {number: 81}, connectionPool: {tcp: {maxConnections: 7}}}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      loadBalancer: {simple: ROUND_ROBIN}
      portLevelSettings:
      - {port: {number: 82}, tls: {mode: DISABLE}}
)"));
  const auto policy = mesh.reader().Policy("client", kWeb);
  ASSERT_NE(policy, nullptr);
  const auto whole = PolicyOfPort(policy->policy, 80);
  EXPECT_TRUE(whole.has_tls() && whole.port_level_settings().empty());
  const auto port = PolicyOfPort(policy->policy, 81);
  EXPECT_FALSE(port.has_tls() || port.has_load_balancer());
  EXPECT_EQ(port.connection_pool().tcp().max_connections(), 7);
  const auto& subset = policy->Find("v1")->policy;
  EXPECT_EQ(PolicyOfPort(subset, 80).load_balancer().simple(), Lb::ROUND_ROBIN);
  EXPECT_TRUE(PolicyOfPort(subset, 80).has_tls());
  EXPECT_EQ(PolicyOfPort(subset, 81).load_balancer().simple(), Lb::ROUND_ROBIN);
  EXPECT_TRUE(PolicyOfPort(subset, 81).has_connection_pool());
  EXPECT_FALSE(PolicyOfPort(subset, 82).has_load_balancer());
  EXPECT_TRUE(PolicyOfPort(subset, 82).has_tls());
}

std::string VirtualService(const std::string& ns, const std::string& name, const std::string& spec,
                           const std::string& created = "2020-01-01T00:00:00Z") {
  return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name +
         ", namespace: " + ns + ", creationTimestamp: \"" + created + "\"}\nspec: " + spec +
         "\n---\n";
}

std::vector<std::string> NamesOf(const RoutingList& routings) {
  std::vector<std::string> names;
  for (const RoutingPtr& routing : routings) names.push_back(routing->origin.name);
  return names;
}

TEST(VirtualServices, OrderIsPrivateThenNamedThenPublic) {
  const char* route = "http: [{route: [{destination: {host: web}}]}]";
  const auto spec = [&](const std::string& more) {
    return "{hosts: [web.test], " + more + std::string(route) + "}";
  };
  MeshFixture mesh(
      VirtualService("shop", "public-old", spec("")) +
      VirtualService("shop", "public-young", spec(""), "2022-01-01T00:00:00Z") +
      VirtualService("shop", "named", spec("exportTo: [client], "), "2023-01-01T00:00:00Z") +
      VirtualService("client", "private", spec("exportTo: ['.'], "), "2024-01-01T00:00:00Z") +
      VirtualService("shop", "gateway-only", spec("gateways: [gw], ")));
  EXPECT_THAT(NamesOf(*mesh.reader().Routings("client", "mesh")),
              ElementsAre("private", "named", "public-old", "public-young"));
  EXPECT_THAT(NamesOf(*mesh.reader().Routings("third", "mesh")),
              ElementsAre("public-old", "public-young"));
  EXPECT_THAT(NamesOf(*mesh.reader().Routings("third", "shop/gw")), ElementsAre("gateway-only"));
  mesh.Delete(VirtualService("shop", "public-old", spec("")));
  EXPECT_THAT(NamesOf(*mesh.reader().Routings("third", "mesh")), ElementsAre("public-young"));
}

TEST(VirtualServices, NamesAreMadeFull) {
  MeshFixture mesh(VirtualService("shop", "v", R"(
  hosts: [web, www.example.com]
  gateways: [mesh, gw, edge/gw2]
  http:
  - match: [{gateways: [gw]}]
    route: [{destination: {host: web, subset: v1}}]
    mirror: {host: shadow}
  tcp:
  - route: [{destination: {host: db.data}}]
)"));
  const auto& spec = mesh.reader().Routings("x", "edge/gw2")->front()->spec;
  EXPECT_THAT(spec.hosts(), ElementsAre("web.shop.svc.cluster.local", "www.example.com"));
  EXPECT_THAT(spec.gateways(), ElementsAre("mesh", "shop/gw", "edge/gw2"));
  EXPECT_THAT(spec.http(0).match(0).gateways(), ElementsAre("shop/gw"));
  EXPECT_EQ(spec.http(0).route(0).destination().host(), "web.shop.svc.cluster.local");
  EXPECT_EQ(spec.http(0).mirror().host(), "shadow.shop.svc.cluster.local");
  EXPECT_EQ(spec.tcp(0).route(0).destination().host(), "db.data");
}

TEST(VirtualServices, DelegatesAreMergedAndFollowed) {
  MeshFixture mesh(VirtualService("shop", "root", R"(
  hosts: [web]
  http:
  - {name: r, match: [{uri: {prefix: /api}, headers: {x: {exact: "1"}}}], timeout: 5s, delegate: {name: inner, namespace: team}}
  - route: [{destination: {host: web}}]
)"));
  const auto http = [&] { return mesh.reader().Routings("shop", "mesh")->front()->spec.http(); };
  EXPECT_EQ(http().size(), 1);  // the delegate is not there yet
  const std::string inner = VirtualService("team", "inner", R"(
  http:
  - {name: a, match: [{uri: {prefix: /api/a}}], route: [{destination: {host: a}}]}
  - {name: b, match: [{uri: {prefix: /other}}], route: [{destination: {host: b}}]}
  - {name: c, route: [{destination: {host: c}}], timeout: 1s}
)");
  mesh.Apply(inner);
  ASSERT_EQ(http().size(), 3);
  EXPECT_EQ(http()[0].name(), "r-a");
  EXPECT_EQ(http()[0].match(0).uri().prefix(), "/api/a");
  EXPECT_EQ(http()[0].match(0).headers().at("x").exact(), "1");
  EXPECT_EQ(http()[0].timeout().seconds(), 5);
  EXPECT_EQ(http()[0].route(0).destination().host(), "a.team.svc.cluster.local");
  EXPECT_EQ(http()[1].match(0).uri().prefix(), "/api");
  EXPECT_EQ(http()[1].timeout().seconds(), 1);
  mesh.Delete(inner);
  EXPECT_EQ(http().size(), 1);
}

std::string Peer(const std::string& ns, const std::string& name, const std::string& spec) {
  return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name +
         ", namespace: " + ns + "}\nspec: " + spec + "\n---\n";
}

TEST(PeerAuthentication, InheritsFromMeshToPort) {
  MeshFixture mesh;
  const auto tls = [&](const std::string& ns = "shop") {
    return *mesh.reader().TlsOf(ns, {{"app", "web"}});
  };
  EXPECT_EQ(tls().mode, MutualTls::kPermissive);
  mesh.Apply(Peer("istio-system", "default", "{mtls: {mode: STRICT}}"));
  EXPECT_EQ(tls().mode, MutualTls::kStrict);
  mesh.Apply(Peer("shop", "default", "{mtls: {mode: DISABLE}}"));
  EXPECT_EQ(tls().mode, MutualTls::kDisable);
  EXPECT_EQ(tls("other").mode, MutualTls::kStrict);
  mesh.Apply(Peer("shop", "web",
                  "{selector: {matchLabels: {app: web}}, mtls: {mode: UNSET}, portLevelMtls: "
                  "{8080: {mode: PERMISSIVE}}}"));
  EXPECT_EQ(tls().mode, MutualTls::kDisable);
  EXPECT_EQ(tls().ModeOf(8080), MutualTls::kPermissive);
  EXPECT_EQ(tls().ModeOf(8081), MutualTls::kDisable);
  // A selector in the root namespace selects nothing.
  mesh.Apply(
      Peer("istio-system", "web", "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}"));
  EXPECT_EQ(tls("istio-system").mode, MutualTls::kStrict);
}

constexpr const char* kGateway = R"(
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 8443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}
)";

TEST(Gateways, AreSelectedByLabelsAndBoundToTargetPorts) {
  MeshFixture mesh(kGateway);
  const auto servers = [&] { return mesh.reader().GatewaysOf(MeshFixture::Router()); };
  ASSERT_EQ(servers()->size(), 2u);
  EXPECT_EQ((*servers())[0].bind_port, 80u);
  mesh.Apply(R"(
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.0.0.9
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}]
)");
  EXPECT_EQ((*servers())[0].bind_port, 8080u);
  EXPECT_EQ((*servers())[1].bind_port, 8443u);
  EXPECT_EQ((*servers())[0].gateway.ns + "/" + (*servers())[0].gateway.name, "shop/gw");
  EXPECT_THAT(*mesh.reader().GatewaysOf(MeshFixture::Router("edge", {{"istio", "egress"}})),
              IsEmpty());
}

}  // namespace
}  // namespace meltemi::pilot
