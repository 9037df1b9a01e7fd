// SPDX-License-Identifier: Apache-2.0
// A whole agent against a control plane on the same loop: real TLS, real sockets, real workers.
#include "proxy/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/http/service.h"
#include "proxy/agent/testing/fake_control_plane.h"
#include "proxy/testing/proxy_fixture.h"

namespace meltemi::proxy {
namespace {

using testing::ClientSocket;
using ::testing::Each;
using testing::EchoServer;
using ::testing::ElementsAre;
using testing::FakeControlPlane;
using testing::Folder;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kIdentity[] = "spiffe://cluster.local/ns/shop/sa/cart";

class AgentTest : public ::testing::Test {
 protected:
  void StartAgent() {
    options_.process.concurrency = 1;
    options_.process.drain_time = std::chrono::seconds(2);
    options_.discovery = options_.authority = plane_.address();
    options_.root_cert_path = folder_.Write("root.pem", plane_.root_pem());
    if (options_.token_path.empty())
      options_.token_path = folder_.Write("token", std::string(FakeControlPlane::kToken) + "\n");
    options_.ns = "shop";
    options_.name = "cart-v1-5d4f7c6bbc-x7k2p";
    options_.service_account = "cart";
    options_.ip = "127.0.0.1";
    options_.admin_port = options_.status_port = options_.agent_port = options_.metrics_port = 0;
    auto agent = Agent::Start(*loop_, options_);
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
  }
  void RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done() && std::chrono::steady_clock::now() < deadline)
      loop_->RunOnce(std::chrono::milliseconds(20));
    ASSERT_TRUE(done()) << agent_->WhyNotReady();
  }
  void RunUntilReady() {
    RunUntil([&] { return agent_->WhyNotReady().empty(); });
  }
  // Clusters and listeners of a bootstrap's text, as the control plane serves them.
  void Serve(const std::string& text, uint64_t version) {
    const auto bootstrap = ParseBootstrap(text);
    ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
    for (const auto& [name, bytes] : bootstrap->clusters)
      plane_.source_.Set(xds::Type::kCluster, name, version, bytes);
    for (const auto& [name, bytes] : bootstrap->listeners)
      plane_.source_.Set(xds::Type::kListener, name, version, bytes);
    plane_.source_.Publish();
  }
  std::string TcpProxy(uint16_t listen, uint16_t to, const std::string& chain_more = "") {
    return R"(static_resources:
  clusters:
  - name: app
    type: STATIC
    load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address:
      {socket_address: {address: 127.0.0.1, port_value: )" +
           std::to_string(to) + R"(}}}}]}]}
  listeners:
  - name: in
    traffic_direction: INBOUND
    address: {socket_address: {address: 127.0.0.1, port_value: )" +
           std::to_string(listen) + R"(}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: app
)" + chain_more;
  }
  http::ClientResponse Get(size_t server, const std::string& path,
                           const std::string& method = "GET") {
    return GetFrom(agent_->pages().address(server), path, method);
  }
  http::ClientResponse GetFrom(const net::Address& server, const std::string& path,
                               const std::string& method = "GET") {
    std::optional<StatusOr<http::ClientResponse>> answer;
    http::ClientRequest request;
    request.method = method;
    request.path = path;
    auto call = http::Fetch(*loop_, server, std::move(request),
                            [&](StatusOr<http::ClientResponse> response) { answer = response; });
    RunUntil([&] { return answer.has_value(); });
    return answer->ok() ? **answer : http::ClientResponse{};
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  FakeControlPlane plane_{*loop_};
  Folder folder_;
  WorkloadOptions options_;
  std::unique_ptr<Agent> agent_;
};

constexpr char kMutualTls[] = R"(      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}}}]
            validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}
)";

TEST_F(AgentTest, GetsItsCertificateThenItsConfigurationThenServes) {
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  Serve(TcpProxy(port, echo.port()), 1);
  StartAgent();
  EXPECT_EQ(agent_->WhyNotReady(), "no certificate yet");
  EXPECT_EQ(Get(0, "/healthz/ready").status, 503);
  RunUntilReady();
  EXPECT_EQ(Get(0, "/healthz/ready").status, 200);
  EXPECT_EQ(Get(1, "/healthz/ready").status, 200);
  EXPECT_THAT(Get(2, "/stats/prometheus").body, HasSubstr("meltemi_xds_connected"));

  ASSERT_EQ(plane_.csrs_.size(), 1u);
  EXPECT_THAT(plane_.peers_, ElementsAre(kIdentity)) << "discovery is authenticated by it";
  EXPECT_THAT(plane_.tokens_, ElementsAre("Bearer secret-token"));
  EXPECT_EQ(plane_.source_.node_.id,
            "sidecar~127.0.0.1~cart-v1-5d4f7c6bbc-x7k2p.shop~shop.svc.cluster.local");
  EXPECT_THAT(plane_.source_.node_.metadata_json, HasSubstr("\"cart-v1\""));

  ClientSocket client(port);
  client.Send("hello");
  EXPECT_EQ(client.Read(5), "hello");
}

// Secrets named by the configuration are the agent's own and are never asked of the control plane.
TEST_F(AgentTest, SecretsOfItsOwnResolveLocallyAndRotate) {
  plane_.lifetime_ = std::chrono::seconds(1);  // renewed a second later
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  Serve(TcpProxy(port, echo.port(), kMutualTls), 1);
  StartAgent();
  RunUntilReady();
  plane_.lifetime_ = std::chrono::minutes(30);
  auto dump = nlohmann::json::parse(
      agent_->process().server().ConfigDump("dynamic_active_secrets", ""), nullptr, false);
  EXPECT_EQ(dump["configs"][0]["dynamic_active_secrets"].size(), 2u);

  RunUntil([&] { return plane_.csrs_.size() == 2; });
  EXPECT_NE(plane_.csrs_[0], plane_.csrs_[1]) << "a new key for each certificate";
  EXPECT_TRUE(agent_->WhyNotReady().empty());
  for (const auto& [type, error] : plane_.source_.nacks_) ADD_FAILURE() << error;
}

TEST_F(AgentTest, KeepsTryingForACertificate) {
  plane_.refusals_ = 1;
  plane_.Listen();
  Serve(TcpProxy(testing::UnusedPort(), 1), 1);
  StartAgent();
  RunUntil([&] { return plane_.refusals_ == 0; });
  RunUntilReady();
}

TEST_F(AgentTest, TrustsNoServerOfAnotherName) {
  plane_.Listen("impostor.istio-system.svc");
  StartAgent();
  RunUntil([&] {
    return agent_->process().StatsPrometheus().find("meltemi_certificate_failures_total 2") !=
           std::string::npos;
  });
  EXPECT_TRUE(plane_.csrs_.empty());
  EXPECT_TRUE(plane_.tokens_.empty()) << "the token went to an impostor";
  EXPECT_EQ(agent_->WhyNotReady(), "no certificate yet");
}

TEST_F(AgentTest, GoodPartOfARefusedResponseIsUsedAndTheRestNamed) {
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  plane_.source_.Set(xds::Type::kCluster, "broken", 1, "\xff\xff not a cluster");
  Serve(TcpProxy(port, echo.port()), 1);
  StartAgent();
  RunUntil([&] { return !plane_.source_.nacks_.empty(); });
  EXPECT_THAT(plane_.source_.nacks_[0].second, HasSubstr("broken: "));
  RunUntilReady();
  ClientSocket client(port);
  client.Send("x");
  EXPECT_EQ(client.Read(1), "x");
}

TEST_F(AgentTest, ServesOnWhileTheControlPlaneIsAwayAndFollowsItsReturn) {
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  Serve(TcpProxy(port, echo.port()), 1);
  StartAgent();
  RunUntilReady();
  const uint16_t plane_port = plane_.address().port();
  plane_.Stop();
  RunUntil([&] {
    return agent_->process().StatsPrometheus().find("meltemi_xds_connected 0") != std::string::npos;
  });
  EXPECT_TRUE(agent_->WhyNotReady().empty());
  ClientSocket client(port);
  client.Send("y");
  EXPECT_EQ(client.Read(1), "y");

  plane_.source_.Remove(xds::Type::kListener, "in");
  plane_.source_.Remove(xds::Type::kCluster, "app");
  plane_.Listen("istiod.istio-system.svc", plane_port);
  RunUntil([&] { return agent_->process().server().ListenersText().empty(); });
  EXPECT_EQ(plane_.tokens_.size(), 2u);
}

// A cluster whose endpoints the control plane does not know must not hold up the start.
TEST_F(AgentTest, EndpointsThatDoNotExistCountAsNone) {
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  Serve(TcpProxy(port, echo.port()), 1);
  Serve(R"(static_resources:
  clusters:
  - name: eds
    type: EDS
    eds_cluster_config: {service_name: nowhere, eds_config: {ads: {}, initial_fetch_timeout: 0s}}
)",
        1);
  StartAgent();
  RunUntilReady();
  EXPECT_THAT(agent_->process().server().ClustersText(), HasSubstr("eds::"));
  EXPECT_TRUE(plane_.source_.nacks_.empty());
}

TEST_F(AgentTest, DrainFailsReadinessAndEnds) {
  plane_.Listen();
  EchoServer echo;
  const uint16_t port = testing::UnusedPort();
  Serve(TcpProxy(port, echo.port()), 1);
  StartAgent();
  RunUntilReady();
  EXPECT_EQ(Get(1, "/quitquitquit").status, 405);
  EXPECT_EQ(Get(1, "/quitquitquit", "POST").status, 200);
  EXPECT_EQ(agent_->WhyNotReady(), "draining");
  EXPECT_TRUE(ClientSocket::CanConnect(port)) << "others have not heard of it yet";
  EXPECT_EQ(agent_->Run(), 0);
}

TEST_F(AgentTest, PagesShowTheCertificateAndNoKey) {
  plane_.Listen();
  Serve(TcpProxy(testing::UnusedPort(), 1), 1);
  StartAgent();
  RunUntilReady();
  const net::Address& admin = agent_->process().admin_address();
  const std::string dump = GetFrom(admin, "/config_dump").body;
  EXPECT_THAT(dump, Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(dump, Not(HasSubstr(FakeControlPlane::kToken)));
  const auto json = nlohmann::json::parse(dump, nullptr, false);
  EXPECT_EQ(json["configs"].size(), 6u);
  EXPECT_EQ(json["configs"][0]["bootstrap"]["node"]["cluster"], "cart-v1.shop");
  const auto alone =
      nlohmann::json::parse(GetFrom(admin, "/config_dump?resource=bootstrap").body, nullptr, false);
  EXPECT_EQ(alone["configs"].size(), 1u);
  EXPECT_THAT(GetFrom(admin, "/certs").body, HasSubstr(kIdentity));
  EXPECT_THAT(GetFrom(admin, "/server_info").body, HasSubstr("\"LIVE\""));
  EXPECT_EQ(GetFrom(admin, "/ready").status, 200);
}

TEST_F(AgentTest, PlaintextSendsNoToken) {
  xds::FakeSource source;
  std::vector<std::multimap<std::string, std::string>> metadata;
  xds::AdsOptions ads_options;
  ads_options.admit = [&](const grpc::PeerInfo& peer, const xds::NodeInfo&) {
    metadata.push_back(peer.metadata);
    return StatusOr<std::string>("");
  };
  xds::AdsServer ads(source, RealClock(), std::move(ads_options));
  auto server = grpc::Server::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", 0), ads.Methods());
  ASSERT_TRUE(server.ok());
  plane_.Listen();
  options_.is_plaintext = true;
  options_.is_gateway = true;
  options_.process.concurrency = 1;
  options_.discovery = (*server)->address();
  options_.token_path = folder_.Write("token", FakeControlPlane::kToken);
  options_.ip = "127.0.0.1";
  options_.name = "gateway";
  options_.admin_port = options_.status_port = options_.agent_port = options_.metrics_port = 0;
  auto agent = Agent::Start(*loop_, options_);
  ASSERT_TRUE(agent.ok()) << agent.status();
  agent_ = *std::move(agent);
  RunUntilReady();
  ASSERT_EQ(metadata.size(), 1u);
  EXPECT_EQ(metadata[0].count("authorization"), 0u);
  EXPECT_THAT(source.node_.id, HasSubstr("router~127.0.0.1~gateway.default~"));
  agent_.reset();
}

}  // namespace
}  // namespace meltemi::proxy
