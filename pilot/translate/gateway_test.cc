// SPDX-License-Identifier: Apache-2.0
// Routers: which servers of Gateways share a socket, and what hosts their routes have.
#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/testing/mesh_fixture.h"
#include "pilot/translate/gateway_servers.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using testing::MeshFixture;

constexpr const char* kMesh = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: http, port: 80}]
)";

std::string Gateway(const std::string& name, const std::string& servers) {
  return "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: " + name +
         ", namespace: default}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n" +
         servers;
}
std::string Bound(const std::string& name, const std::string& hosts, const std::string& more) {
  return "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name +
         ", namespace: default}\nspec:\n  gateways: [gw]\n  hosts: [" + hosts + "]\n" + more;
}
constexpr const char* kPlain =
    "  - {hosts: ['*'], port: {number: 80, name: http, protocol: HTTP}}\n";
std::string To(const std::string& prefix) {
  return "  http: [{name: " + (prefix.empty() ? "all" : "p" + prefix) + ", " +
         (prefix.empty() ? "" : "match: [{uri: {prefix: /" + prefix + "}}], ") +
         "route: [{destination: {host: web}}]}]\n";
}

class GatewayTest : public ::testing::Test {
 protected:
  Names AllNames() { return ListenerNames(mesh_.reader(), router_); }
  std::unique_ptr<envoy::config::listener::v3::Listener> Listener(const std::string& name) {
    return BuildListener(mesh_.reader(), router_, name);
  }
  std::unique_ptr<envoy::config::route::v3::RouteConfiguration> Routes(const std::string& name) {
    return BuildRoutes(mesh_.reader(), router_, name);
  }

  MeshFixture mesh_{kMesh};
  ProxyFacts router_ = MeshFixture::Router("default");
};

TEST_F(GatewayTest, NothingWithoutGateways) {
  EXPECT_TRUE(AllNames().empty());
}

TEST_F(GatewayTest, ServerWithoutVirtualServiceAnswersNotFound) {
  mesh_.Apply(Gateway("gw", kPlain));
  EXPECT_EQ(AllNames(), Names{"0.0.0.0_80"});
  const auto routes = Routes("http.80");
  ASSERT_EQ(routes->virtual_hosts_size(), 1);
  EXPECT_EQ(routes->virtual_hosts(0).name(), "blackhole:80");
  EXPECT_TRUE(routes->virtual_hosts(0).routes().empty());
}

TEST_F(GatewayTest, RoutesForOneHostComeTogetherCatchAllLast) {
  mesh_.Apply(Gateway("gw", kPlain) + Bound("a", "www.example.com", To("")) +
              Bound("b", "www.example.com", To("b")));
  const auto routes = Routes("http.80");
  ASSERT_EQ(routes->virtual_hosts_size(), 1);
  EXPECT_EQ(routes->virtual_hosts(0).name(), "www.example.com:80");
  ASSERT_EQ(routes->virtual_hosts(0).routes_size(), 2);
  EXPECT_EQ(routes->virtual_hosts(0).routes(0).name(), "pb");
  EXPECT_EQ(routes->virtual_hosts(0).routes(1).name(), "all");
}

TEST_F(GatewayTest, HostsTreatedAlikeAreOneVirtualHost) {
  mesh_.Apply(Gateway("gw", kPlain) + Bound("a", "a.example.com, b.example.com", To("")) +
              Bound("c", "c.example.com", To("")));
  const auto routes = Routes("http.80");
  ASSERT_EQ(routes->virtual_hosts_size(), 2);
  EXPECT_EQ(routes->virtual_hosts(0).domains_size(), 2);
  EXPECT_EQ(routes->virtual_hosts(1).domains(0), "c.example.com");
}

TEST_F(GatewayTest, NarrowerHostOfServerAndVirtualService) {
  EXPECT_EQ(Intersection({"*.example.com"}, {"a.example.com", "b.example.org"}),
            std::vector<std::string>{"a.example.com"});
  EXPECT_EQ(Intersection({"a.example.com", "b.example.com"}, {"*.example.com"}),
            (std::vector<std::string>{"a.example.com", "b.example.com"}));
  EXPECT_TRUE(Intersection({"example.com"}, {"*.example.com"}).empty());
}

TEST_F(GatewayTest, NamespaceOfServerHostsLimitsVirtualServices) {
  mesh_.Apply(
      Gateway("gw", "  - {hosts: ['other/*'], port: {number: 80, name: h, protocol: HTTP}}\n") +
      Bound("a", "www.example.com", To("")));
  EXPECT_EQ(Routes("http.80")->virtual_hosts(0).name(), "blackhole:80");
}

TEST_F(GatewayTest, HttpsRedirectWithoutVirtualService) {
  mesh_.Apply(Gateway("gw",
                      "  - {hosts: [www.example.com], tls: {httpsRedirect: true}, port: "
                      "{number: 80, name: h, protocol: HTTP}}\n"));
  const auto routes = Routes("http.80");
  ASSERT_EQ(routes->virtual_hosts_size(), 1);
  EXPECT_EQ(routes->virtual_hosts(0).require_tls(), envoy::config::route::v3::VirtualHost::ALL);
}

TEST_F(GatewayTest, TlsServersAreToldApartByName) {
  mesh_.Apply(Gateway("gw",
                      "  - {hosts: [a.example.com], port: {number: 443, name: a, protocol: HTTPS}, "
                      "tls: {mode: SIMPLE, credentialName: a}}\n"
                      "  - {hosts: [b.example.com], port: {number: 443, name: b, protocol: HTTPS}, "
                      "tls: {mode: SIMPLE, credentialName: b}}\n") +
              Gateway("younger",
                      "  - {hosts: [b.example.com], port: {number: 443, name: c, protocol: HTTPS}, "
                      "tls: {mode: SIMPLE, credentialName: c}}\n"
                      "  - {hosts: ['*'], port: {number: 443, name: d, protocol: HTTP}}\n"));
  const auto listener = Listener("0.0.0.0_443");
  ASSERT_NE(listener, nullptr);
  // The younger Gateway's name is taken, and its other server wants another kind of port.
  ASSERT_EQ(listener->filter_chains_size(), 2);
  EXPECT_TRUE(listener->filter_chains(0).has_transport_socket());
  EXPECT_EQ(listener->listener_filters(0).name(), "envoy.filters.listener.tls_inspector");
  EXPECT_EQ(Routes("https.443.a.gw.default")->virtual_hosts_size(), 1);
  EXPECT_EQ(Routes("https.443.c.younger.default")->virtual_hosts_size(), 0);
}

TEST_F(GatewayTest, TcpServerListensOnceThereIsARoute) {
  mesh_.Apply(Gateway("gw", "  - {hosts: ['*'], port: {number: 9000, name: t, protocol: TCP}}\n"));
  EXPECT_TRUE(AllNames().empty());
  EXPECT_EQ(Listener("0.0.0.0_9000"), nullptr);
  mesh_.Apply(Bound("t", "'*'", "  tcp: [{route: [{destination: {host: web}}]}]\n"));
  EXPECT_EQ(AllNames(), Names{"0.0.0.0_9000"});
  EXPECT_EQ(Listener("0.0.0.0_9000")->filter_chains_size(), 1);
}

// The proxy would refuse the whole listener if two chains asked for one name.
TEST_F(GatewayTest, ServerNameOfTwoVirtualServicesIsTheOlders) {
  mesh_.Apply(Gateway("gw",
                      "  - {hosts: ['*'], port: {number: 443, name: t, protocol: TLS}, tls: {mode: "
                      "PASSTHROUGH}}\n") +
              Bound("a", "a.example.com, b.example.com",
                    "  tls: [{match: [{sniHosts: [a.example.com, b.example.com]}], route: "
                    "[{destination: {host: web}}]}]\n") +
              Bound("b", "b.example.com, c.example.com",
                    "  tls: [{match: [{sniHosts: [b.example.com, c.example.com]}], route: "
                    "[{destination: {host: web}}]}]\n"));
  const auto listener = Listener("0.0.0.0_443");
  ASSERT_EQ(listener->filter_chains_size(), 2);
  EXPECT_EQ(listener->filter_chains(0).filter_chain_match().server_names_size(), 2);
  ASSERT_EQ(listener->filter_chains(1).filter_chain_match().server_names_size(), 1);
  EXPECT_EQ(listener->filter_chains(1).filter_chain_match().server_names(0), "c.example.com");
}

}  // namespace
}  // namespace meltemi::pilot
