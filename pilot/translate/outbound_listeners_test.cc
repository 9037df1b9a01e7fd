// SPDX-License-Identifier: Apache-2.0
// Sockets and chains of a sidecar's outbound side, and how services on one socket go together.
#include "pilot/translate/outbound_listeners.h"

#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "pilot/testing/mesh_fixture.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::listener::v3;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
using testing::MeshFixture;

std::string KubernetesService(const std::string& name, const std::string& ip,
                              const std::string& ports) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         ", namespace: default}\nspec:\n  clusterIP: " + ip + "\n  ports: [" + ports + "]\n";
}
std::string Entry(const std::string& name, const std::string& fields) {
  return "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + name +
         ", namespace: default}\nspec: {" + fields + "}\n";
}

// The cluster of a chain that ends in the TCP proxy, or "rds:NAME".
std::string TargetOf(const v3::FilterChain& chain) {
  TcpProxy tcp;
  HttpConnectionManager http;
  const auto& config = chain.filters(chain.filters_size() - 1).typed_config();
  if (config.UnpackTo(&tcp)) return tcp.cluster();
  if (config.UnpackTo(&http)) return "rds:" + http.rds().route_config_name();
  return "?";
}

class OutboundListenersTest : public ::testing::Test {
 protected:
  ListenerPtr Build(const std::string& name) { return BuildListener(mesh_.reader(), proxy_, name); }
  Names AllNames() { return ListenerNames(mesh_.reader(), proxy_); }

  MeshFixture mesh_;
  ProxyFacts proxy_ = MeshFixture::Sidecar("default");
};

TEST_F(OutboundListenersTest, HttpOfAllServicesSharesThePort) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: http, port: 80}") +
              KubernetesService("b", "10.0.0.2", "{name: grpc, port: 80}"));
  EXPECT_EQ(AllNames(), (Names{"0.0.0.0_80", "virtualInbound", "virtualOutbound"}));
  const auto listener = Build("0.0.0.0_80");
  ASSERT_NE(listener, nullptr);
  ASSERT_EQ(listener->filter_chains_size(), 1);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "rds:80");
  EXPECT_FALSE(listener->bind_to_port().value());
  EXPECT_EQ(TargetOf(listener->default_filter_chain()), "PassthroughCluster");
  EXPECT_EQ(Build("10.0.0.1_80"), nullptr);
  EXPECT_EQ(Build("0.0.0.0_81"), nullptr);
  EXPECT_EQ(Build("nonsense"), nullptr);
}

TEST_F(OutboundListenersTest, TcpHasASocketPerAddress) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: tcp, port: 9000}"));
  const auto listener = Build("10.0.0.1_9000");
  ASSERT_NE(listener, nullptr);
  ASSERT_EQ(listener->filter_chains_size(), 1);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "outbound|9000||a.default.svc.cluster.local");
  EXPECT_EQ(listener->listener_filters_size(), 0);  // nothing to find out
  EXPECT_FALSE(listener->has_default_filter_chain());
}

TEST_F(OutboundListenersTest, UndeclaredProtocolIsDetected) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: foo, port: 7000}"));
  const auto listener = Build("10.0.0.1_7000");
  ASSERT_NE(listener, nullptr);
  ASSERT_EQ(listener->filter_chains_size(), 1);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "rds:a.default.svc.cluster.local:7000");
  EXPECT_EQ(TargetOf(listener->default_filter_chain()),
            "outbound|7000||a.default.svc.cluster.local");
  ASSERT_EQ(listener->listener_filters_size(), 1);
  EXPECT_EQ(listener->listener_filters(0).name(), "envoy.filters.listener.http_inspector");
}

// A TCP service that has no address can only be told from HTTP by looking at the bytes.
TEST_F(OutboundListenersTest, TcpAndHttpOnOneSocketAreToldApart) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: http, port: 8000}") +
              Entry("db",
                    "hosts: [db.example.com], resolution: DNS, "
                    "ports: [{number: 8000, name: tcp, protocol: TCP}]"));
  const auto listener = Build("0.0.0.0_8000");
  ASSERT_NE(listener, nullptr);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "rds:8000");
  EXPECT_EQ(TargetOf(listener->default_filter_chain()), "outbound|8000||db.example.com");
}

TEST_F(OutboundListenersTest, ServerFirstPortsAreNotMixed) {
  mesh_.Apply(Entry("db",
                    "hosts: [db.example.com], resolution: DNS, "
                    "ports: [{number: 3306, name: tcp, protocol: TCP}]") +
              Entry("web",
                    "hosts: [www.example.com], resolution: DNS, "
                    "ports: [{number: 3306, name: http, protocol: HTTP}]"));
  const auto listener = Build("0.0.0.0_3306");
  ASSERT_NE(listener, nullptr);
  ASSERT_EQ(listener->filter_chains_size(), 1);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "outbound|3306||db.example.com");
}

TEST_F(OutboundListenersTest, TlsWithoutAddressGoesByServerName) {
  mesh_.Apply(Entry("a",
                    "hosts: [a.example.com], resolution: DNS, "
                    "ports: [{number: 443, name: tls, protocol: TLS}]") +
              Entry("b",
                    "hosts: ['*.b.example.com'], resolution: NONE, "
                    "ports: [{number: 443, name: https, protocol: HTTPS}]"));
  const auto listener = Build("0.0.0.0_443");
  ASSERT_NE(listener, nullptr);
  ASSERT_EQ(listener->filter_chains_size(), 2);
  for (const auto& chain : listener->filter_chains()) {
    EXPECT_EQ("outbound|443||" + chain.filter_chain_match().server_names(0), TargetOf(chain));
  }
  EXPECT_EQ(listener->listener_filters(0).name(), "envoy.filters.listener.tls_inspector");
}

TEST_F(OutboundListenersTest, AddressRangesAreMatchedOnTheWildcardSocket) {
  mesh_.Apply(Entry("net",
                    "hosts: [net.example.com], addresses: [192.0.2.0/24], resolution: NONE, "
                    "ports: [{number: 5000, name: tcp, protocol: TCP}]"));
  const auto listener = Build("0.0.0.0_5000");
  ASSERT_NE(listener, nullptr);
  const auto& range = listener->filter_chains(0).filter_chain_match().prefix_ranges(0);
  EXPECT_EQ(range.address_prefix(), "192.0.2.0");
  EXPECT_EQ(range.prefix_len().value(), 24u);
  EXPECT_EQ(TargetOf(listener->default_filter_chain()), "PassthroughCluster");
}

TEST_F(OutboundListenersTest, HeadlessTcpListensWhereItsEndpointsAre) {
  mesh_.Apply(KubernetesService("db", "None", "{name: tcp, port: 5432}"));
  EXPECT_EQ(AllNames(), (Names{"virtualInbound", "virtualOutbound"}));
  mesh_.Apply(R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: tcp, port: 5432}]
endpoints: [{addresses: [10.1.0.7], conditions: {ready: true}}]
)");
  EXPECT_EQ(AllNames(), (Names{"10.1.0.7_5432", "virtualInbound", "virtualOutbound"}));
  EXPECT_EQ(TargetOf(Build("10.1.0.7_5432")->filter_chains(0)),
            "outbound|5432||db.default.svc.cluster.local");
}

TEST_F(OutboundListenersTest, MadeUpAddressesOnlyForProxiesThatAnswerDns) {
  mesh_.Apply(Entry("db",
                    "hosts: [db.example.com], resolution: DNS, "
                    "ports: [{number: 5000, name: tcp, protocol: TCP}]"));
  EXPECT_EQ(AllNames().front(), "0.0.0.0_5000");
  proxy_.is_meltemi = true;
  const std::string address = mesh_.reader().FindService("default", "db.example.com")->auto_address;
  ASSERT_FALSE(address.empty());
  EXPECT_EQ(AllNames().front(), address + "_5000");
  EXPECT_NE(Build(address + "_5000"), nullptr);
}

TEST_F(OutboundListenersTest, OwnPortsAreNotTaken) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: http, port: 15001}"));
  EXPECT_EQ(AllNames(), (Names{"virtualInbound", "virtualOutbound"}));
}

TEST_F(OutboundListenersTest, TcpRoutesOfVirtualServices) {
  mesh_.Apply(KubernetesService("a", "10.0.0.1", "{name: tcp, port: 9000}") + R"(---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [a]
  tcp:
  - match: [{destinationSubnets: [192.0.2.0/24]}]
    route: [{destination: {host: a, subset: near}}]
  - match: [{port: 9001}]
    route: [{destination: {host: other}}]
  - route:
    - {destination: {host: a, subset: v1}, weight: 1}
    - {destination: {host: a, subset: v2}, weight: 3}
)");
  const auto listener = Build("10.0.0.1_9000");
  ASSERT_EQ(listener->filter_chains_size(), 1);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "outbound|9000|near|a.default.svc.cluster.local");
  TcpProxy split;
  ASSERT_TRUE(listener->default_filter_chain().filters(0).typed_config().UnpackTo(&split));
  EXPECT_EQ(split.stat_prefix(), "a.default");
  ASSERT_EQ(split.weighted_clusters().clusters_size(), 2);
  EXPECT_EQ(split.weighted_clusters().clusters(1).weight(), 3u);
}

TEST(VirtualOutboundTest, RegistryOnlyLeadsNowhere) {
  auto config = DefaultMeshConfig();
  config.mutable_outbound_traffic_policy()->set_mode(
      istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy::REGISTRY_ONLY);
  MeshFixture mesh("", config);
  const auto listener = BuildVirtualOutbound(mesh.reader(), MeshFixture::Sidecar("default"));
  EXPECT_TRUE(listener->use_original_dst().value());
  ASSERT_EQ(listener->filter_chains_size(), 2);
  EXPECT_EQ(TargetOf(listener->filter_chains(0)), "BlackHoleCluster");
  EXPECT_EQ(listener->filter_chains(0).filter_chain_match().destination_port().value(), 15001u);
  EXPECT_EQ(TargetOf(listener->filter_chains(1)), "BlackHoleCluster");
}

}  // namespace
}  // namespace meltemi::pilot
