// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"
#include "pilot/translate/testing/fake_reader.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using istio::networking::v1::ClientTLSSettings;
using istio::networking::v1::LoadBalancerSettings;
using istio::networking::v1::TrafficPolicy;
using ::testing::ElementsAre;

constexpr const char* kName = "outbound|9080||reviews.default.svc.cluster.local";
const ServiceKey kReviews{"reviews.default.svc.cluster.local", "default"};

FakeReader ReviewsMesh(Protocol protocol = Protocol::kHttp) {
  FakeReader reader;
  reader.AddService("reviews", {{"http", 9080, protocol, 9080, ""}});
  return reader;
}
Endpoint MutualEndpoint(const std::string& ip, const std::string& account) {
  Endpoint endpoint;
  endpoint.address = ip;
  endpoint.port = 9080;
  endpoint.has_mutual_tls = true;
  endpoint.identity = "spiffe://cluster.local/ns/default/sa/" + account;
  return endpoint;
}
UpstreamTlsContext TlsOf(const envoy::config::core::v3::TransportSocket& socket) {
  UpstreamTlsContext context;
  EXPECT_TRUE(socket.typed_config().UnpackTo(&context)) << socket.DebugString();
  return context;
}
std::vector<std::string> SansOf(const UpstreamTlsContext& context) {
  std::vector<std::string> names;
  const auto& validation =
      context.common_tls_context().combined_validation_context().default_validation_context();
  for (const auto& san : validation.match_subject_alt_names()) names.push_back(san.exact());
  return names;
}
std::vector<std::string> AlpnOf(const UpstreamTlsContext& context) {
  const auto& words = context.common_tls_context().alpn_protocols();
  return {words.begin(), words.end()};
}
HttpProtocolOptions OptionsOf(const Cluster& cluster) {
  HttpProtocolOptions options;
  const auto& all = cluster.typed_extension_protocol_options();
  const auto found = all.find("envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
  if (found != all.end()) EXPECT_TRUE(found->second.UnpackTo(&options));
  return options;
}

TEST(ClusterNameTest, ReadsWhatItWrites) {
  const ClusterName name{false, 9080, "v1", "reviews.default.svc.cluster.local"};
  EXPECT_EQ(name.text(), "outbound|9080|v1|reviews.default.svc.cluster.local");
  const auto read = ClusterName::Parse(name.text());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->text(), name.text());
  EXPECT_EQ(SniOf(*read), "outbound_.9080_.v1_.reviews.default.svc.cluster.local");
  EXPECT_TRUE(ClusterName::Parse("inbound|8080||")->is_inbound);
  for (const char* bad : {"", "outbound", "outbound|80", "outbound|80|v1", "outbound|x||a",
                          "outbound|99999||a", "outbound|80x||a", "outbound|||a", "other|80||a"}) {
    EXPECT_FALSE(ClusterName::Parse(bad).has_value()) << bad;
  }
}

TEST(ClustersTest, SidecarsHaveAllAndRoutersOnlyOutbound) {
  FakeReader reader = ReviewsMesh();
  reader.services[0]->ports.push_back({"dns", 53, Protocol::kUdp, 53, ""});
  reader.inbound = {{reader.services[0], reader.services[0]->ports[0], 9080}};
  reader.policies[kReviews].subsets = {{"v1", {}, {}}};
  const std::string subset = "outbound|9080|v1|reviews.default.svc.cluster.local";
  EXPECT_THAT(ClusterNames(reader, SidecarFacts()),
              ElementsAre("BlackHoleCluster", "InboundPassthroughCluster", "PassthroughCluster",
                          "inbound|9080||", subset, kName));
  EXPECT_THAT(ClusterNames(reader, RouterFacts()), ElementsAre("BlackHoleCluster", subset, kName));
  for (const std::string& name : ClusterNames(reader, SidecarFacts())) {
    const auto cluster = BuildCluster(reader, SidecarFacts(), name);
    ASSERT_NE(cluster, nullptr) << name;
    EXPECT_EQ(cluster->name(), name);
  }
}

TEST(ClustersTest, WhatIsNotThereIsNotBuilt) {
  FakeReader reader = ReviewsMesh();
  reader.services[0]->ports.push_back({"dns", 53, Protocol::kUdp, 53, ""});
  for (const char* name :
       {"outbound|9081||reviews.default.svc.cluster.local", "outbound|9080||ratings",
        "outbound|9080|v1|reviews.default.svc.cluster.local", "inbound|9080||",
        "outbound|53||reviews.default.svc.cluster.local", "nonsense"}) {
    EXPECT_EQ(BuildCluster(reader, SidecarFacts(), name), nullptr) << name;
  }
  EXPECT_EQ(BuildCluster(reader, RouterFacts(), "PassthroughCluster"), nullptr);
}

TEST(ClustersTest, EndpointsDecideWhetherMutualTlsIsSpoken) {
  FakeReader reader = ReviewsMesh();
  reader.mesh.add_trust_domain_aliases("old.local");
  reader.endpoints[{kReviews, 9080}] = {MutualEndpoint("10.0.0.1", "b"),
                                        MutualEndpoint("10.0.0.2", "a")};
  const auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  ASSERT_EQ(cluster->transport_socket_matches_size(), 2);
  EXPECT_EQ(cluster->transport_socket_matches(0).name(), "tlsMode-istio");
  EXPECT_EQ(cluster->transport_socket_matches(0).match().fields().at("tlsMode").string_value(),
            "istio");
  EXPECT_EQ(cluster->transport_socket_matches(1).match().fields_size(), 0);
  const auto context = TlsOf(cluster->transport_socket_matches(0).transport_socket());
  EXPECT_EQ(context.sni(), "outbound_.9080_._.reviews.default.svc.cluster.local");
  EXPECT_THAT(AlpnOf(context), ElementsAre("istio-peer-exchange", "istio"));
  EXPECT_THAT(SansOf(context), ElementsAre("spiffe://cluster.local/ns/default/sa/a",
                                           "spiffe://cluster.local/ns/default/sa/b",
                                           "spiffe://old.local/ns/default/sa/a",
                                           "spiffe://old.local/ns/default/sa/b"));
}

TEST(ClustersTest, NoAutomaticTlsWhereItIsSwitchedOff) {
  FakeReader disabled = ReviewsMesh();
  disabled.namespace_tls.mode = MutualTls::kDisable;
  FakeReader external = ReviewsMesh();
  external.services[0]->is_external = true;
  FakeReader manual = ReviewsMesh();
  manual.mesh.mutable_enable_auto_mtls()->set_value(false);
  for (FakeReader* reader : {&disabled, &external, &manual}) {
    const auto cluster = BuildCluster(*reader, SidecarFacts(), kName);
    EXPECT_EQ(cluster->transport_socket_matches_size(), 0);
    EXPECT_FALSE(cluster->has_transport_socket());
  }
}

TEST(ClustersTest, HeadlessNeedsAProxyAtEveryEndpointForTls) {
  FakeReader reader = ReviewsMesh();
  reader.services[0]->resolution = Resolution::kPassthrough;
  auto& endpoints = reader.endpoints[{kReviews, 9080}];
  endpoints = {MutualEndpoint("10.0.0.1", "a"), MutualEndpoint("10.0.0.2", "a")};
  auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_EQ(cluster->type(), Cluster::ORIGINAL_DST);
  EXPECT_EQ(cluster->lb_policy(), Cluster::CLUSTER_PROVIDED);
  EXPECT_EQ(cluster->transport_socket_matches_size(), 0);
  EXPECT_THAT(SansOf(TlsOf(cluster->transport_socket())),
              ElementsAre("spiffe://cluster.local/ns/default/sa/a"));
  endpoints[1].has_mutual_tls = false;
  EXPECT_FALSE(BuildCluster(reader, SidecarFacts(), kName)->has_transport_socket());
  EXPECT_EQ(BuildCluster(reader, RouterFacts(), kName)->type(), Cluster::EDS);
}

TEST(ClustersTest, RuleMayFixTls) {
  FakeReader reader = ReviewsMesh(Protocol::kHttp2);
  auto& tls = *reader.policies[kReviews].policy.mutable_tls();
  tls.set_mode(ClientTLSSettings::ISTIO_MUTUAL);
  tls.add_subject_alt_names("spiffe://other/ns/x/sa/y");
  auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_EQ(cluster->transport_socket_matches_size(), 0);
  EXPECT_THAT(AlpnOf(TlsOf(cluster->transport_socket())),
              ElementsAre("istio-peer-exchange", "istio", "h2"));
  EXPECT_THAT(SansOf(TlsOf(cluster->transport_socket())), ElementsAre("spiffe://other/ns/x/sa/y"));
  tls.set_mode(ClientTLSSettings::DISABLE);
  EXPECT_FALSE(BuildCluster(reader, SidecarFacts(), kName)->has_transport_socket());
}

TEST(ClustersTest, UserTlsTakesTheNameFromTheRequestUnlessToldOne) {
  FakeReader reader = ReviewsMesh();
  auto& tls = *reader.policies[kReviews].policy.mutable_tls();
  tls.set_mode(ClientTLSSettings::SIMPLE);
  auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_TRUE(OptionsOf(*cluster).upstream_http_protocol_options().auto_sni());
  EXPECT_TRUE(OptionsOf(*cluster).upstream_http_protocol_options().auto_san_validation());
  EXPECT_TRUE(OptionsOf(*cluster).explicit_http_config().has_http_protocol_options());
  EXPECT_EQ(
      cluster->metadata().filter_metadata().at("istio").fields().at("alpn_override").string_value(),
      "false");
  EXPECT_EQ(TlsOf(cluster->transport_socket())
                .common_tls_context()
                .combined_validation_context()
                .validation_context_sds_secret_config()
                .name(),
            "file-root:system");
  tls.set_sni("api.example.com");
  cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_EQ(TlsOf(cluster->transport_socket()).sni(), "api.example.com");
  EXPECT_EQ(cluster->typed_extension_protocol_options_size(), 0);
}

TEST(ClustersTest, OnlyRoutersMayNameACredential) {
  FakeReader reader = ReviewsMesh();
  auto& tls = *reader.policies[kReviews].policy.mutable_tls();
  tls.set_mode(ClientTLSSettings::MUTUAL);
  tls.set_credential_name("client");
  tls.set_client_certificate("/c.pem");
  tls.set_private_key("/k.pem");
  const auto secret = [&](const ProxyFacts& proxy) {
    const auto cluster = BuildCluster(reader, proxy, kName);
    return TlsOf(cluster->transport_socket())
        .common_tls_context()
        .tls_certificate_sds_secret_configs(0);
  };
  EXPECT_EQ(secret(RouterFacts()).name(), "kubernetes://client");
  EXPECT_TRUE(secret(RouterFacts()).sds_config().has_ads());
  EXPECT_EQ(secret(SidecarFacts()).name(), "file-cert:/c.pem~/k.pem");
}

TEST(ClustersTest, ProtocolOfThePortDecidesHowHttpIsSpoken) {
  FakeReader grpc = ReviewsMesh(Protocol::kGrpc);
  EXPECT_TRUE(OptionsOf(*BuildCluster(grpc, SidecarFacts(), kName))
                  .explicit_http_config()
                  .has_http2_protocol_options());
  FakeReader detected = ReviewsMesh(Protocol::kUnsupported);
  EXPECT_TRUE(OptionsOf(*BuildCluster(detected, SidecarFacts(), kName))
                  .has_use_downstream_protocol_config());
  EXPECT_EQ(BuildCluster(detected, RouterFacts(), kName)->typed_extension_protocol_options_size(),
            0);
  FakeReader upgraded = ReviewsMesh();
  upgraded.policies[kReviews]
      .policy.mutable_connection_pool()
      ->mutable_http()
      ->set_h2_upgrade_policy(istio::networking::v1::ConnectionPoolSettings::HTTPSettings::UPGRADE);
  EXPECT_TRUE(OptionsOf(*BuildCluster(upgraded, SidecarFacts(), kName))
                  .explicit_http_config()
                  .has_http2_protocol_options());
}

TEST(ClustersTest, BalancersOfTheRule) {
  FakeReader reader = ReviewsMesh();
  auto& balancer = *reader.policies[kReviews].policy.mutable_load_balancer();
  const auto build = [&] { return BuildCluster(reader, SidecarFacts(), kName); };
  EXPECT_EQ(build()->lb_policy(), Cluster::LEAST_REQUEST);
  balancer.set_simple(LoadBalancerSettings::ROUND_ROBIN);
  EXPECT_EQ(build()->lb_policy(), Cluster::ROUND_ROBIN);
  balancer.set_simple(LoadBalancerSettings::RANDOM);
  EXPECT_EQ(build()->lb_policy(), Cluster::RANDOM);
  balancer.set_simple(LoadBalancerSettings::PASSTHROUGH);
  EXPECT_EQ(build()->type(), Cluster::ORIGINAL_DST);
  EXPECT_EQ(build()->lb_policy(), Cluster::CLUSTER_PROVIDED);
  EXPECT_FALSE(build()->has_eds_cluster_config());
  balancer.mutable_consistent_hash()->set_http_header_name("x-user");
  EXPECT_EQ(build()->lb_policy(), Cluster::RING_HASH);
  EXPECT_EQ(build()->ring_hash_lb_config().minimum_ring_size().value(), 1024U);
  balancer.mutable_consistent_hash()->mutable_maglev()->set_table_size(101);
  EXPECT_EQ(build()->lb_policy(), Cluster::MAGLEV);
  EXPECT_EQ(build()->maglev_lb_config().table_size().value(), 101U);
}

TEST(ClustersTest, LimitsAndEjectionOfTheRule) {
  FakeReader reader = ReviewsMesh();
  auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_EQ(cluster->circuit_breakers().thresholds(0).max_requests().value(), UINT32_MAX);
  EXPECT_EQ(cluster->connect_timeout().seconds(), 10);
  EXPECT_FALSE(cluster->has_outlier_detection());
  // Not 50 %, Envoy's default, at which ejected endpoints would be used all the same.
  EXPECT_TRUE(cluster->common_lb_config().has_healthy_panic_threshold());

  auto& policy = reader.policies[kReviews].policy;
  policy.mutable_connection_pool()->mutable_tcp()->set_max_connections(1);
  policy.mutable_connection_pool()->mutable_http()->set_http1_max_pending_requests(2);
  policy.mutable_connection_pool()->mutable_http()->set_max_requests_per_connection(3);
  policy.mutable_outlier_detection()->mutable_consecutive_5xx_errors()->set_value(0);
  policy.mutable_outlier_detection()->mutable_consecutive_gateway_errors()->set_value(4);
  policy.mutable_outlier_detection()->set_min_health_percent(30);
  cluster = BuildCluster(reader, SidecarFacts(), kName);
  const auto& limits = cluster->circuit_breakers().thresholds(0);
  EXPECT_EQ(limits.max_connections().value(), 1U);
  EXPECT_EQ(limits.max_pending_requests().value(), 2U);
  EXPECT_EQ(
      OptionsOf(*cluster).common_http_protocol_options().max_requests_per_connection().value(), 3U);
  EXPECT_EQ(cluster->outlier_detection().enforcing_consecutive_5xx().value(), 0U);
  EXPECT_EQ(cluster->outlier_detection().consecutive_gateway_failure().value(), 4U);
  EXPECT_EQ(cluster->outlier_detection().enforcing_consecutive_gateway_failure().value(), 100U);
  EXPECT_EQ(cluster->common_lb_config().healthy_panic_threshold().value(), 30);
}

TEST(ClustersTest, DnsClustersCarryTheirEndpoints) {
  FakeReader reader = ReviewsMesh();
  reader.services[0]->resolution = Resolution::kDns;
  reader.services[0]->is_external = true;
  Endpoint endpoint;
  endpoint.address = "api.example.com";
  endpoint.port = 443;
  auto& endpoints = reader.endpoints[{kReviews, 9080}];
  endpoints = {endpoint};
  auto cluster = BuildCluster(reader, SidecarFacts(), kName);
  EXPECT_EQ(cluster->type(), Cluster::STRICT_DNS);
  const auto& address = cluster->load_assignment().endpoints(0).lb_endpoints(0).endpoint();
  EXPECT_EQ(address.address().socket_address().address(), "api.example.com");
  reader.services[0]->resolution = Resolution::kDnsRoundRobin;
  EXPECT_EQ(BuildCluster(reader, SidecarFacts(), kName)->type(), Cluster::LOGICAL_DNS);
  endpoints.push_back(endpoint);  // Envoy would reject the cluster and all that came with it
  EXPECT_EQ(BuildCluster(reader, SidecarFacts(), kName), nullptr);
}

TEST(ClustersTest, InboundIsOneForAllServicesOfAPort) {
  FakeReader reader = ReviewsMesh();
  reader.AddService("web", {{"grpc", 80, Protocol::kGrpc, 9080, ""}});
  reader.inbound = {{reader.services[0], reader.services[0]->ports[0], 9080},
                    {reader.services[1], reader.services[1]->ports[0], 9080}};
  const auto cluster = BuildCluster(reader, SidecarFacts(), "inbound|9080||");
  EXPECT_EQ(cluster->type(), Cluster::ORIGINAL_DST);
  EXPECT_EQ(cluster->upstream_bind_config().source_address().address(), "127.0.0.6");
  EXPECT_EQ(cluster->typed_extension_protocol_options_size(), 0);  // the older service's protocol
  const auto& services = cluster->metadata().filter_metadata().at("istio").fields().at("services");
  EXPECT_EQ(services.list_value().values_size(), 2);
}

TEST(ClustersTest, StockEnvoyGetsNoFilterOfIstios) {
  FakeReader reader = ReviewsMesh();
  ProxyFacts stock = SidecarFacts();
  EXPECT_EQ(BuildCluster(reader, stock, kName)->filters_size(), 1);
  stock.has_istio_filters = false;
  EXPECT_EQ(BuildCluster(reader, stock, kName)->filters_size(), 0);
  EXPECT_EQ(BuildCluster(reader, stock, "PassthroughCluster")->filters_size(), 0);
}

TEST(ClustersTest, EqualInputsAreEqualBytes) {
  FakeReader reader = ReviewsMesh();
  reader.policies[kReviews].policy.mutable_tls()->set_mode(ClientTLSSettings::SIMPLE);
  std::string first, second;
  Serialize(*BuildCluster(reader, SidecarFacts(), kName), first);
  for (int i = 0; i < 20; ++i) {
    Serialize(*BuildCluster(reader, SidecarFacts(), kName), second);
    ASSERT_EQ(first, second);
  }
}

}  // namespace
}  // namespace meltemi::pilot
