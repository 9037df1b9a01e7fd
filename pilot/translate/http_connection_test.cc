// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/http_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/translate/testing/fake_reader.h"

namespace meltemi::pilot {
namespace {

using envoy::config::listener::v3::FilterChain;
using envoy::extensions::access_loggers::file::v3::FileAccessLog;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
using EnvoyTcpProxy = envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
using istio::networking::v1::ServerTLSSettings;
using ::testing::ElementsAre;

HttpConnectionManager Build(FakeReader& reader, Direction direction,
                            const ProxyFacts& proxy = SidecarFacts()) {
  FilterChain chain;
  HttpConnection settings;
  settings.direction = direction;
  settings.stat_prefix = "x;";
  settings.route_name = "9080";
  AddHttpConnection(reader, proxy, settings, chain);
  HttpConnectionManager manager;
  EXPECT_TRUE(chain.filters(chain.filters_size() - 1).typed_config().UnpackTo(&manager));
  return manager;
}
std::vector<std::string> FilterNames(const HttpConnectionManager& manager) {
  std::vector<std::string> names;
  for (const auto& filter : manager.http_filters()) names.push_back(filter.name());
  return names;
}

TEST(HttpConnectionTest, FiltersInIstiosOrder) {
  FakeReader reader;
  reader.mesh.mutable_default_providers()->add_metrics("prometheus");
  EXPECT_THAT(FilterNames(Build(reader, Direction::kOutbound)),
              ElementsAre("istio.metadata_exchange", "envoy.filters.http.grpc_stats", "istio.alpn",
                          "envoy.filters.http.fault", "envoy.filters.http.cors", "istio.stats",
                          "envoy.filters.http.router"));
  EXPECT_THAT(FilterNames(Build(reader, Direction::kInbound)),
              ElementsAre("istio.metadata_exchange", "envoy.filters.http.grpc_stats",
                          "envoy.filters.http.fault", "envoy.filters.http.cors", "istio.stats",
                          "envoy.filters.http.router"));
  ProxyFacts stock = SidecarFacts();
  stock.has_istio_filters = false;
  EXPECT_THAT(FilterNames(Build(reader, Direction::kOutbound, stock)),
              ElementsAre("envoy.filters.http.grpc_stats", "envoy.filters.http.fault",
                          "envoy.filters.http.cors", "envoy.filters.http.router"));
}

TEST(HttpConnectionTest, OnlyGatewaysTrustWhatTheySee) {
  FakeReader reader;
  const auto gateway = Build(reader, Direction::kGateway);
  EXPECT_TRUE(gateway.use_remote_address().value());
  EXPECT_EQ(gateway.forward_client_cert_details(), HttpConnectionManager::SANITIZE_SET);
  EXPECT_TRUE(gateway.set_current_client_cert_details().cert());
  const auto inbound = Build(reader, Direction::kInbound);
  EXPECT_FALSE(inbound.use_remote_address().value());
  EXPECT_EQ(inbound.forward_client_cert_details(), HttpConnectionManager::APPEND_FORWARD);
  const auto outbound = Build(reader, Direction::kOutbound);
  EXPECT_EQ(outbound.forward_client_cert_details(), HttpConnectionManager::SANITIZE);
  EXPECT_EQ(outbound.server_name(), "");
  EXPECT_EQ(outbound.rds().route_config_name(), "9080");
}

TEST(HttpConnectionTest, AccessLogsAsTheMeshWants) {
  FakeReader reader;
  EXPECT_EQ(Build(reader, Direction::kInbound).access_log_size(), 0);
  reader.mesh.set_access_log_file("/dev/stdout");
  const auto format = [&] {
    FileAccessLog file;
    const auto manager = Build(reader, Direction::kInbound);
    EXPECT_EQ(manager.access_log_size(), 1);
    EXPECT_TRUE(manager.access_log(0).typed_config().UnpackTo(&file));
    EXPECT_EQ(file.path(), "/dev/stdout");
    return file.log_format();
  };
  EXPECT_TRUE(format().text_format_source().inline_string().starts_with("[%START_TIME%]"));
  reader.mesh.set_access_log_format("%PROTOCOL%");
  EXPECT_EQ(format().text_format_source().inline_string(), "%PROTOCOL%\n");
  reader.mesh.set_access_log_encoding(istio::mesh::v1alpha1::MeshConfig::JSON);
  EXPECT_TRUE(format().json_format().fields().contains("response_code"));  // it is no JSON
  reader.mesh.set_access_log_format(R"({"p": "%PROTOCOL%"})");
  EXPECT_EQ(format().json_format().fields_size(), 1);

  envoy::config::listener::v3::Listener listener;
  AddListenerAccessLog(reader, listener);
  ASSERT_EQ(listener.access_log_size(), 1);
  EXPECT_THAT(listener.access_log(0).filter().response_flag_filter().flags(), ElementsAre("NR"));
  reader.mesh.set_disable_envoy_listener_log(true);
  AddListenerAccessLog(reader, listener);
  EXPECT_EQ(listener.access_log_size(), 1);
}

TEST(HttpConnectionTest, TracingMayBeSwitchedOff) {
  FakeReader reader;
  EXPECT_EQ(Build(reader, Direction::kInbound).tracing().random_sampling().value(), 1.0);
  reader.mesh.mutable_default_config()->mutable_tracing()->mutable_sampling()->set_value(25);
  EXPECT_EQ(Build(reader, Direction::kInbound).tracing().random_sampling().value(), 25.0);
  reader.mesh.mutable_enable_tracing()->set_value(false);
  EXPECT_FALSE(Build(reader, Direction::kInbound).has_tracing());
}

TEST(TcpProxyTest, TakesTheRuleOfItsDestination) {
  FakeReader reader;
  const Service& service = reader.AddService("db", {{"tcp", 9000, Protocol::kTcp, 9000, ""}});
  auto& policy = reader.policies[service.key()].policy;
  policy.mutable_connection_pool()->mutable_tcp()->mutable_idle_timeout()->set_seconds(5);
  policy.mutable_load_balancer()->mutable_consistent_hash()->set_use_source_ip(true);
  const std::string cluster = "outbound|9000||db.default.svc.cluster.local";
  const auto build = [&](const TcpProxy& settings) {
    FilterChain chain;
    AddTcpProxy(reader, SidecarFacts(), settings, chain);
    EnvoyTcpProxy proxy;
    EXPECT_TRUE(chain.filters(chain.filters_size() - 1).typed_config().UnpackTo(&proxy));
    return proxy;
  };
  const auto single = build({Direction::kOutbound, "p", cluster, {}});
  EXPECT_EQ(single.cluster(), cluster);
  EXPECT_EQ(single.idle_timeout().seconds(), 5);
  EXPECT_TRUE(single.hash_policy(0).has_source_ip());
  const auto weighted = build({Direction::kOutbound, "p", "", {{cluster, 20}, {"other", 80}}});
  ASSERT_EQ(weighted.weighted_clusters().clusters_size(), 2);
  EXPECT_EQ(weighted.weighted_clusters().clusters(1).weight(), 80U);
  EXPECT_FALSE(build({Direction::kInbound, "p", "inbound|9000||", {}}).has_idle_timeout());
}

class ServerTlsTest : public ::testing::Test {
 protected:
  DownstreamTlsContext Build() {
    FilterChain chain;
    SetServerTls(RouterFacts(), server_, chain);
    DownstreamTlsContext context;
    EXPECT_TRUE(chain.transport_socket().typed_config().UnpackTo(&context));
    return context;
  }
  ServerTLSSettings& tls() { return *server_.mutable_tls(); }
  istio::networking::v1::Server server_;
};

TEST_F(ServerTlsTest, SimpleAsksForNoClientCertificate) {
  tls().set_mode(ServerTLSSettings::SIMPLE);
  tls().set_credential_name("cred");
  const auto context = Build();
  EXPECT_FALSE(context.require_client_certificate().value());
  const auto& common = context.common_tls_context();
  EXPECT_EQ(common.tls_certificate_sds_secret_configs(0).name(), "kubernetes://cred");
  EXPECT_FALSE(common.has_combined_validation_context());
  EXPECT_FALSE(common.has_tls_params());
  EXPECT_THAT(common.alpn_protocols(), ElementsAre("h2", "http/1.1"));
}

TEST_F(ServerTlsTest, MutualDemandsOneOfTheCredentialsAuthority) {
  tls().set_mode(ServerTLSSettings::MUTUAL);
  tls().set_credential_name("cred");
  tls().add_subject_alt_names("client.example.com");
  auto context = Build();
  EXPECT_TRUE(context.require_client_certificate().value());
  const auto& validation = context.common_tls_context().combined_validation_context();
  EXPECT_EQ(validation.validation_context_sds_secret_config().name(), "kubernetes://cred-cacert");
  EXPECT_EQ(validation.default_validation_context().match_subject_alt_names_size(), 1);
  tls().set_mode(ServerTLSSettings::OPTIONAL_MUTUAL);
  EXPECT_FALSE(Build().require_client_certificate().value());
  EXPECT_TRUE(Build().common_tls_context().has_combined_validation_context());
}

TEST_F(ServerTlsTest, IstioMutualUsesTheWorkloadsOwn) {
  tls().set_mode(ServerTLSSettings::ISTIO_MUTUAL);
  server_.mutable_port()->set_protocol("HTTPS");
  EXPECT_TRUE(Build().require_client_certificate().value());
  EXPECT_EQ(Build().common_tls_context().tls_certificate_sds_secret_configs(0).name(), "default");
  EXPECT_THAT(Build().common_tls_context().alpn_protocols(), ElementsAre("h2", "http/1.1"));
  server_.mutable_port()->set_protocol("TLS");
  EXPECT_THAT(Build().common_tls_context().alpn_protocols(),
              ElementsAre("istio-peer-exchange", "h2", "http/1.1"));
}

TEST_F(ServerTlsTest, FilesAndVersions) {
  tls().set_mode(ServerTLSSettings::MUTUAL);
  tls().set_server_certificate("/c.pem");
  tls().set_private_key("/k.pem");
  tls().set_ca_certificates("/ca.pem");
  tls().set_min_protocol_version(ServerTLSSettings::TLSV1_3);
  const auto context = Build();
  const auto& common = context.common_tls_context();
  EXPECT_EQ(common.tls_certificate_sds_secret_configs(0).name(), "file-cert:/c.pem~/k.pem");
  EXPECT_EQ(common.combined_validation_context().validation_context_sds_secret_config().name(),
            "file-root:/ca.pem");
  EXPECT_EQ(common.tls_params().tls_minimum_protocol_version(),
            envoy::extensions::transport_sockets::tls::v3::TlsParameters::TLSv1_3);
}

TEST(WorkloadTlsTest, TakesPeersOfTheMeshOnly) {
  FakeReader reader;
  reader.mesh.add_trust_domain_aliases("old.local");
  FilterChain chain;
  SetWorkloadTls(reader, true, chain);
  DownstreamTlsContext context;
  ASSERT_TRUE(chain.transport_socket().typed_config().UnpackTo(&context));
  EXPECT_TRUE(context.require_client_certificate().value());
  const auto& sans = context.common_tls_context()
                         .combined_validation_context()
                         .default_validation_context()
                         .match_subject_alt_names();
  ASSERT_EQ(sans.size(), 2);
  EXPECT_EQ(sans[0].prefix(), "spiffe://cluster.local/");
  EXPECT_EQ(sans[1].prefix(), "spiffe://old.local/");
}

}  // namespace
}  // namespace meltemi::pilot
