// SPDX-License-Identifier: Apache-2.0
// Configuration reaching the data path as a control plane brings it: endpoints, secrets, names,
// hand-off by original destination. Real sockets, real handshakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "lib/identity/certificate.h"
#include "proxy/testing/proxy_fixture.h"

namespace meltemi::proxy {
namespace {

using testing::ClientSocket;
using testing::EchoServer;
using ::testing::ElementsAre;
using ::testing::Key;
using testing::ProxyFixture;
using testing::UnusedPort;

std::string Listener(const std::string& name, const std::string& address, uint16_t port,
                     const std::string& cluster, const std::string& more = "",
                     const std::string& more_chain = "") {
  return "  - name: " + name + "\n    address: {socket_address: {address: " + address +
         ", port_value: " + std::to_string(port) + "}}\n" + more + R"(    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: t
          cluster: )" +
         cluster + "\n" + more_chain;
}

std::string Cluster(const std::string& name, const std::string& type, const std::string& address,
                    uint16_t port, const std::string& more = "") {
  return "  - name: " + name + "\n    type: " + type + "\n    connect_timeout: 1s\n" + more +
         "    load_assignment: {cluster_name: " + name +
         ", endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: " +
         address + ", port_value: " + std::to_string(port) + "}}}}]}]}\n";
}

std::string Resources(const std::string& listeners, const std::string& clusters) {
  return "static_resources:\n" + (listeners.empty() ? "" : "  listeners:\n" + listeners) +
         (clusters.empty() ? "" : "  clusters:\n" + clusters);
}

std::vector<Rejection> GiveEndpoints(ProxyFixture& proxy, const std::string& name,
                                     const std::vector<uint16_t>& ports) {
  envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
  assignment.set_cluster_name(name);
  auto* locality = assignment.add_endpoints();
  for (uint16_t port : ports) {
    auto* address = locality->add_lb_endpoints()->mutable_endpoint()->mutable_address();
    address->mutable_socket_address()->set_address("127.0.0.1");
    address->mutable_socket_address()->set_port_value(port);
  }
  const std::string bytes = assignment.SerializeAsString();
  auto rejections = proxy.sink().Update(xds::Type::kEndpoint, {{name, bytes, "1"}}, {});
  proxy.Commit();
  return rejections;
}

TEST(ConfigPath, WarmsAnEdsClusterUntilItsEndpointsCome) {
  EchoServer echo, other;
  ProxyFixture proxy;
  proxy.LoadDynamic(Resources(Listener("l", "127.0.0.1", 0, "eds"),
                              "  - name: eds\n    type: EDS\n    connect_timeout: 1s\n"
                              "    eds_cluster_config: {service_name: svc, eds_config: {ads: {}, "
                              "initial_fetch_timeout: 0s}}\n"));
  EXPECT_THAT(proxy.sink().wanted().endpoints, ElementsAre(Key("svc")));
  EXPECT_FALSE(proxy.sink().is_warm());
  EXPECT_EQ(ClientSocket(proxy.port("l")).ReadToEnd(), "");

  EXPECT_TRUE(GiveEndpoints(proxy, "svc", {echo.port()}).empty());
  EXPECT_TRUE(proxy.sink().is_warm());
  ClientSocket client(proxy.port("l"));
  client.Send("a");
  ASSERT_EQ(client.Read(1), "a");

  // The host leaves: what runs on it goes on, what is new goes elsewhere.
  EXPECT_TRUE(GiveEndpoints(proxy, "svc", {other.port()}).empty());
  client.Send("b");
  EXPECT_EQ(client.Read(1), "b");
  ClientSocket next(proxy.port("l"));
  next.Send("c");
  EXPECT_EQ(next.Read(1), "c");
  EXPECT_EQ(other.accepted(), 1);

  EXPECT_TRUE(GiveEndpoints(proxy, "svc", {}).empty());
  EXPECT_EQ(ClientSocket(proxy.port("l")).ReadToEnd(), "");
}

TEST(ConfigPath, ResolvesNamesOfStrictDnsClusters) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(Resources(
      Listener("l", "127.0.0.1", 0, "dns"),
      Cluster("dns", "STRICT_DNS", "localhost", echo.port(), "    dns_lookup_family: V4_ONLY\n")));
  bool is_warm = false;
  proxy.WaitUntil([&] { return is_warm = proxy.sink().is_warm(); });
  ASSERT_TRUE(is_warm);
  proxy.Commit();
  ClientSocket client(proxy.port("l"));
  client.Send("a");
  EXPECT_EQ(client.Read(1), "a");
}

TEST(ConfigPath, HandsOverToTheListenerOfTheOriginalDestination) {
  EchoServer echo;
  ProxyFixture proxy;
  const uint16_t port = UnusedPort();
  proxy.LoadDynamic(Resources(
      Listener("virtualOutbound", "0.0.0.0", port, "none", "    use_original_dst: true\n") +
          Listener("vip", "127.0.0.5", port, "echo", "    bind_to_port: false\n"),
      Cluster("echo", "STATIC", "127.0.0.1", echo.port())));
  ClientSocket other(port);
  EXPECT_EQ(other.ReadToEnd(), "") << "no listener for 127.0.0.1: its own chain, to no cluster";
  ClientSocket vip(port, "127.0.0.5");
  vip.Send("a");
  EXPECT_EQ(vip.Read(1), "a");
}

// Istio's outbound HTTP chains ask for raw_buffer on listeners that have no TLS inspector.
TEST(ConfigPath, PlainConnectionsAreRawBufferWithoutATlsInspector) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.Load(Resources(Listener("l", "127.0.0.1", 0, "echo", "",
                                "      filter_chain_match: {transport_protocol: raw_buffer}\n"),
                       Cluster("echo", "STATIC", "127.0.0.1", echo.port())));
  ClientSocket client(proxy.port("l"));
  client.Send("a");
  EXPECT_EQ(client.Read(1), "a");
}

TEST(ConfigPath, OriginalDestinationClusterConnectsWhereTheClientWanted) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(
      Resources(Listener("l", "127.0.0.1", 0, "passthrough"),
                "  - name: passthrough\n    type: ORIGINAL_DST\n    lb_policy: CLUSTER_PROVIDED\n  "
                "  connect_timeout: 1s\n"
                "    upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}\n"
                "    original_dst_lb_config: {upstream_port_override: " +
                    std::to_string(echo.port()) + "}\n"));
  ClientSocket client(proxy.port("l"));
  client.Send("a");
  EXPECT_EQ(client.Read(1), "a");
  EXPECT_EQ(echo.last_peer(), "127.0.0.6");
}

TEST(ConfigPath, RefusalsNameTheResourceAndKeepTheLastGoodVersion) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(Resources(Listener("l", "127.0.0.1", 0, "c"),
                              Cluster("c", "STATIC", "127.0.0.1", echo.port())));
  const auto bootstrap = ParseBootstrap(
      Resources("", Cluster("c", "STATIC", "127.0.0.1", 1,
                            "    lb_subset_config: {fallback_policy: ANY_ENDPOINT}\n")));
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const auto rejections =
      proxy.sink().Update(xds::Type::kCluster, {{"c", bootstrap->clusters[0].second, "2"}}, {});
  ASSERT_EQ(rejections.size(), 1U);
  EXPECT_EQ(rejections[0].name, "c");
  EXPECT_EQ(rejections[0].reason, "cluster c: lb_subset_config is not supported");
  proxy.Commit();
  ClientSocket client(proxy.port("l"));
  client.Send("a");
  EXPECT_EQ(client.Read(1), "a");
}

TEST(ConfigPath, UnknownNetworkFilterIsRefusedByNameAndType) {
  ProxyFixture proxy;
  auto bootstrap = ParseBootstrap(Resources(R"(  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.rbac
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
)",
                                            ""));
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const Status status = ApplyStatic(*bootstrap, proxy.sink(), nullptr);
  EXPECT_NE(Message(status).find("Didn't find a registered implementation for "
                                 "'envoy.filters.network.rbac'"),
            std::string_view::npos)
      << status;
}

// -- mutual TLS

class Authority {
 public:
  Authority()
      : key_(*identity::PrivateKey::Generate()), root_(*identity::SelfSign(key_, Spec(true))) {}
  std::string root_pem() const { return root_.ToPem(); }
  std::pair<std::string, std::string> Issue(const std::string& uri) const {
    const auto key = *identity::PrivateKey::Generate();
    identity::IssueSpec spec = Spec(false);
    spec.names.uris = {uri};
    return {identity::Issue(root_, key_, key.public_key(), spec)->ToPem(), key.ToPem()};
  }

 private:
  static identity::IssueSpec Spec(bool is_ca) {
    identity::IssueSpec spec;
    spec.organization = "test";
    spec.not_before = RealClock().Wall() - std::chrono::hours(1);
    spec.not_after = RealClock().Wall() + std::chrono::hours(1);
    spec.is_ca = is_ca;
    return spec;
  }
  identity::PrivateKey key_;
  identity::Certificate root_;
};

void GiveSecrets(ProxyFixture& proxy, const Authority& authority, const std::string& uri) {
  envoy::extensions::transport_sockets::tls::v3::Secret certificate, root;
  const auto [chain, key] = authority.Issue(uri);
  certificate.set_name("default");
  certificate.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(chain);
  certificate.mutable_tls_certificate()->mutable_private_key()->set_inline_string(key);
  root.set_name("ROOTCA");
  root.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(authority.root_pem());
  const std::string first = certificate.SerializeAsString(), second = root.SerializeAsString();
  const auto rejections = proxy.sink().Update(
      xds::Type::kSecret, {{"default", first, "1"}, {"ROOTCA", second, "1"}}, {});
  EXPECT_TRUE(rejections.empty()) << rejections[0].reason;
  proxy.Commit();
}

constexpr const char* kCommonTls = R"(
            tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
            alpn_protocols: [istio-peer-exchange, istio]
            tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, initial_fetch_timeout: 0s}}]
            combined_validation_context:
              default_validation_context: {match_subject_alt_names: [{exact: "spiffe://td/ns/a/sa/b"}]}
              validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}, initial_fetch_timeout: 0s}}
)";

// plain ─▶ cluster over mutual TLS (chosen by the endpoint's metadata) ─▶ secure ─▶ echo
std::string TwoHops(uint16_t secure, uint16_t echo) {
  const std::string downstream =
      "      filter_chain_match: {transport_protocol: tls, application_protocols: [istio]}\n"
      "      transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n"
      "          \"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n"
      "          require_client_certificate: true\n          common_tls_context:" +
      std::string(kCommonTls);
  const std::string inspector =
      "    listener_filters:\n    - name: envoy.filters.listener.tls_inspector\n      "
      "typed_config:\n"
      "        \"@type\": "
      "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector\n";
  const std::string upstream =
      "    transport_socket_matches:\n    - name: tlsMode-istio\n      match: {tlsMode: istio}\n"
      "      transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n"
      "          \"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n"
      "          sni: outbound_.80_._.svc\n          common_tls_context:" +
      std::string(kCommonTls) +
      "    - name: tlsMode-disabled\n      match: {}\n"
      "      transport_socket: {name: envoy.transport_sockets.raw_buffer}\n"
      "    load_assignment: {cluster_name: mtls, endpoints: [{lb_endpoints: [{metadata: "
      "{filter_metadata: "
      "{envoy.transport_socket_match: {tlsMode: istio}}}, endpoint: {address: {socket_address: "
      "{address: "
      "127.0.0.1, port_value: " +
      std::to_string(secure) + "}}}}]}]}\n";
  return Resources(Listener("plain", "127.0.0.1", 0, "mtls") +
                       Listener("secure", "127.0.0.1", secure, "echo", inspector, downstream),
                   "  - name: mtls\n    type: STATIC\n    connect_timeout: 1s\n" + upstream +
                       Cluster("echo", "STATIC", "127.0.0.1", echo));
}

TEST(ConfigPath, MutualTlsWarmsUntilItsSecretsComeAndRotatesWithoutResets) {
  EchoServer echo;
  ProxyFixture proxy;
  const Authority authority;
  proxy.LoadDynamic(TwoHops(UnusedPort(), echo.port()));
  EXPECT_THAT(proxy.sink().wanted().secrets, ElementsAre(Key("ROOTCA"), Key("default")));
  EXPECT_FALSE(proxy.sink().is_warm());
  GiveSecrets(proxy, authority, "spiffe://td/ns/a/sa/b");
  EXPECT_TRUE(proxy.sink().is_warm());

  ClientSocket client(proxy.port("plain"));
  client.Send("hello");
  ASSERT_EQ(client.Read(5), "hello");

  // Another authority altogether: both ends rotate, the connection does not notice.
  GiveSecrets(proxy, Authority(), "spiffe://td/ns/a/sa/b");
  client.Send("again");
  EXPECT_EQ(client.Read(5), "again");
  ClientSocket next(proxy.port("plain"));
  next.Send("hello");
  EXPECT_EQ(next.Read(5), "hello");
}

TEST(ConfigPath, MutualTlsRefusesAnotherIdentity) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(TwoHops(UnusedPort(), echo.port()));
  GiveSecrets(proxy, Authority(), "spiffe://td/ns/a/sa/other");
  ClientSocket client(proxy.port("plain"));
  client.Send("hello");
  EXPECT_EQ(client.ReadToEnd(), "");
  EXPECT_EQ(echo.accepted(), 0);
}

TEST(ConfigPath, DumpShowsResourcesButNoKeys) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(TwoHops(UnusedPort(), echo.port()));
  GiveSecrets(proxy, Authority(), "spiffe://td/ns/a/sa/b");
  const std::string dump = proxy.server().ConfigDump("", "");
  EXPECT_NE(dump.find("\"secure\""), std::string::npos);
  EXPECT_NE(dump.find("outbound_.80_._.svc"), std::string::npos);
  EXPECT_NE(dump.find("ROOTCA"), std::string::npos);
  EXPECT_EQ(dump.find("PRIVATE KEY"), std::string::npos);
  EXPECT_NE(proxy.server().ClustersText().find("echo::127.0.0.1:"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::proxy
