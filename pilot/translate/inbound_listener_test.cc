// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/inbound_listener.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "pilot/translate/testing/fake_reader.h"

namespace meltemi::pilot {
namespace {

using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using ::testing::ElementsAre;

// "tls 9080 istio,istio-h2 → http mtls".
std::string Line(const FilterChain& chain) {
  const auto& match = chain.filter_chain_match();
  std::string words;
  for (const auto& word : match.application_protocols()) {
    words += (words.empty() ? " " : ",") + word;
  }
  const std::string& last = chain.filters(chain.filters_size() - 1).name();
  return fmt::format(
      "{}{}{} {}{}", match.transport_protocol(),
      match.has_destination_port() ? fmt::format(" {}", match.destination_port().value()) : "",
      words, last.ends_with("tcp_proxy") ? "tcp" : "http",
      chain.has_transport_socket() ? " mtls" : "");
}

// The chains of a port; 0 = of no port.
std::vector<std::string> Lines(const Listener& listener, uint32_t port) {
  std::vector<std::string> lines;
  for (const auto& chain : listener.filter_chains()) {
    if (chain.filter_chain_match().destination_port().value() == port) lines.push_back(Line(chain));
  }
  return lines;
}

class InboundListenerTest : public ::testing::Test {
 protected:
  void Serve(Protocol protocol, MutualTls mode) {
    reader_ = FakeReader();
    reader_.AddService("web", {{"x", 80, protocol, 9080, ""}});
    reader_.inbound = {{reader_.services[0], reader_.services[0]->ports[0], 9080}};
    reader_.tls.mode = mode;
    listener_ = BuildVirtualInbound(reader_, SidecarFacts());
  }
  bool HasInspector(const std::string& name) const {
    for (const auto& filter : listener_->listener_filters()) {
      if (filter.name() == "envoy.filters.listener." + name) return true;
    }
    return false;
  }
  FakeReader reader_;
  std::unique_ptr<Listener> listener_;
};

constexpr const char* kMesh = "istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2";

TEST_F(InboundListenerTest, HttpPorts) {
  Serve(Protocol::kHttp, MutualTls::kPermissive);
  EXPECT_THAT(Lines(*listener_, 9080),
              ElementsAre(fmt::format("tls 9080 {} http mtls", kMesh), "raw_buffer 9080 http"));
  Serve(Protocol::kHttp, MutualTls::kStrict);
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre("tls 9080 http mtls"));
  Serve(Protocol::kHttp, MutualTls::kDisable);
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre("raw_buffer 9080 http"));
}

TEST_F(InboundListenerTest, TcpPorts) {
  Serve(Protocol::kTcp, MutualTls::kPermissive);
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre(fmt::format("tls 9080 {} tcp mtls", kMesh),
                                                   "tls 9080 tcp", "raw_buffer 9080 tcp"));
  Serve(Protocol::kTcp, MutualTls::kStrict);
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre("tls 9080 tcp mtls"));
  Serve(Protocol::kTcp, MutualTls::kDisable);
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre("raw_buffer 9080 tcp"));
}

TEST_F(InboundListenerTest, DetectedPortsAndAllOthers) {
  Serve(Protocol::kUnsupported, MutualTls::kPermissive);
  EXPECT_THAT(Lines(*listener_, 0),
              ElementsAre("tls istio-http/1.0,istio-http/1.1,istio-h2 http mtls",
                          "raw_buffer http/1.1,h2c http", "tls istio-peer-exchange,istio tcp mtls",
                          "raw_buffer tcp", "tls tcp"));
  EXPECT_EQ(Lines(*listener_, 9080).size(), 5U);
  Serve(Protocol::kUnsupported, MutualTls::kStrict);
  EXPECT_THAT(Lines(*listener_, 9080),
              ElementsAre("tls 9080 istio-http/1.0,istio-http/1.1,istio-h2 http mtls",
                          "tls 9080 tcp mtls"));
  Serve(Protocol::kUnsupported, MutualTls::kDisable);
  EXPECT_THAT(Lines(*listener_, 9080),
              ElementsAre("raw_buffer 9080 http/1.1,h2c http", "raw_buffer 9080 tcp"));
}

TEST_F(InboundListenerTest, StrictTakesNothingPlain) {
  for (const Protocol protocol : {Protocol::kHttp, Protocol::kTcp, Protocol::kUnsupported}) {
    Serve(protocol, MutualTls::kStrict);
    for (const auto& chain : listener_->filter_chains()) {
      if (chain.name() == "virtualInbound-blackhole") continue;
      EXPECT_TRUE(chain.has_transport_socket()) << Line(chain);
    }
  }
}

TEST_F(InboundListenerTest, InspectorsStayAwayFromPortsThatNeedNone) {
  Serve(Protocol::kTcp, MutualTls::kStrict);
  EXPECT_TRUE(HasInspector("tls_inspector"));
  EXPECT_FALSE(HasInspector("http_inspector"));
  Serve(Protocol::kTcp, MutualTls::kDisable);
  EXPECT_FALSE(HasInspector("tls_inspector"));
  EXPECT_TRUE(HasInspector("http_inspector"));  // for the ports of no service
  const auto& disabled = listener_->listener_filters(1).filter_disabled();
  ASSERT_EQ(disabled.or_match().rules_size(), 2);
  EXPECT_EQ(disabled.or_match().rules(0).destination_port_range().start(), 9080);
  EXPECT_EQ(disabled.or_match().rules(1).destination_port_range().start(), 15006);
}

TEST_F(InboundListenerTest, OnePortWithTlsAmongPlainOnes) {
  Serve(Protocol::kHttp, MutualTls::kDisable);
  reader_.tls.ports[9080] = MutualTls::kStrict;
  listener_ = BuildVirtualInbound(reader_, SidecarFacts());
  ASSERT_TRUE(HasInspector("tls_inspector"));
  const auto& disabled = listener_->listener_filters(1).filter_disabled();
  EXPECT_EQ(disabled.not_match().destination_port_range().start(), 9080);
}

TEST_F(InboundListenerTest, PolicyOfAPortThatNoServiceHas) {
  Serve(Protocol::kHttp, MutualTls::kPermissive);
  reader_.tls.ports[7777] = MutualTls::kStrict;
  listener_ = BuildVirtualInbound(reader_, SidecarFacts());
  EXPECT_THAT(Lines(*listener_, 7777),
              ElementsAre("tls 7777 istio-http/1.0,istio-http/1.1,istio-h2 http mtls",
                          "tls 7777 tcp mtls"));
}

TEST_F(InboundListenerTest, OldestServiceOfASharedPortDecides) {
  Serve(Protocol::kHttp, MutualTls::kDisable);
  reader_.AddService("young", {{"tcp", 81, Protocol::kTcp, 9080, ""}});
  reader_.inbound.push_back({reader_.services[1], reader_.services[1]->ports[0], 9080});
  listener_ = BuildVirtualInbound(reader_, SidecarFacts());
  EXPECT_THAT(Lines(*listener_, 9080), ElementsAre("raw_buffer 9080 http"));
}

TEST_F(InboundListenerTest, RoutesToTheAppWithoutAClockOfItsOwn) {
  Serve(Protocol::kHttp, MutualTls::kDisable);
  HttpConnectionManager manager;
  const auto& chain = listener_->filter_chains(listener_->filter_chains_size() - 1);
  ASSERT_TRUE(chain.filters(chain.filters_size() - 1).typed_config().UnpackTo(&manager));
  const auto& route = manager.route_config().virtual_hosts(0).routes(0);
  EXPECT_EQ(route.route().cluster(), "inbound|9080||");
  EXPECT_TRUE(route.route().has_timeout());
  EXPECT_EQ(route.route().timeout().seconds(), 0);
  EXPECT_EQ(route.decorator().operation(), "web.default.svc.cluster.local:80/*");
  EXPECT_EQ(route.route().retry_policy().retry_on(), "reset-before-request");
}

TEST_F(InboundListenerTest, StockEnvoyGetsNoFilterOfIstios) {
  Serve(Protocol::kHttp, MutualTls::kPermissive);
  reader_.mesh.mutable_default_providers()->add_metrics("prometheus");
  ProxyFacts stock = SidecarFacts();
  stock.has_istio_filters = false;
  EXPECT_EQ(BuildVirtualInbound(reader_, stock)->DebugString().find("istio.metadata_exchange"),
            std::string::npos);
  const std::string text = BuildVirtualInbound(reader_, stock)->SerializeAsString();
  EXPECT_EQ(text.find("istio.stats"), std::string::npos);
  EXPECT_EQ(text.find("istio.metadata_exchange"), std::string::npos);
  EXPECT_EQ(BuildVirtualInbound(reader_, RouterFacts()), nullptr);
}

}  // namespace
}  // namespace meltemi::pilot
