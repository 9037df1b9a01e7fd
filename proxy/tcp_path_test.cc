// SPDX-License-Identifier: Apache-2.0
// TCP through the whole data path with real sockets: bootstrap text in, bytes out.
#include <gtest/gtest.h>

#include "proxy/testing/proxy_fixture.h"

namespace meltemi::proxy {
namespace {

using testing::ClientSocket;
using testing::EchoServer;
using testing::ProxyFixture;

std::string TcpBootstrap(uint16_t upstream, const std::string& more_cluster = "") {
  return R"(
static_resources:
  listeners:
  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: t
          cluster: backend
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 1s
)" + more_cluster +
         R"(
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: )" +
         std::to_string(upstream) + "}}}\n";
}

TEST(TcpPath, CarriesBytesBothWays) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.Load(TcpBootstrap(echo.port()));
  ClientSocket client(proxy.port("tcp"));
  client.Send("hello");
  EXPECT_EQ(client.Read(5), "hello");
}

TEST(TcpPath, PassesHalfCloseOnAndDeliversTheRest) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.Load(TcpBootstrap(echo.port()));
  ClientSocket client(proxy.port("tcp"));
  // More than all buffers on the way hold.
  const std::string large(4 * 1024 * 1024, 'x');
  client.SendInBackground(large, true);
  EXPECT_EQ(client.ReadToEnd(), large);
}

TEST(TcpPath, ClosesWhenNothingListensUpstream) {
  ProxyFixture proxy;
  proxy.Load(TcpBootstrap(testing::UnusedPort()));
  ClientSocket client(proxy.port("tcp"));
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST(TcpPath, KeepsConnectionsWhenAListenerIsRemovedAndAcceptsNoMore) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.LoadDynamic(TcpBootstrap(echo.port()));
  const uint16_t port = proxy.port("tcp");
  ClientSocket client(port);
  client.Send("a");
  ASSERT_EQ(client.Read(1), "a");
  proxy.Remove(xds::Type::kListener, "tcp");
  client.Send("b");
  EXPECT_EQ(client.Read(1), "b");
  EXPECT_FALSE(ClientSocket::CanConnect(port));
}

TEST(TcpPath, KeepsConnectionsOverAnUpdateOfTheCluster) {
  EchoServer echo, other;
  ProxyFixture proxy;
  proxy.LoadDynamic(TcpBootstrap(echo.port()));
  ClientSocket client(proxy.port("tcp"));
  client.Send("a");
  ASSERT_EQ(client.Read(1), "a");
  proxy.LoadDynamic(TcpBootstrap(other.port()));
  client.Send("b");
  EXPECT_EQ(client.Read(1), "b");
  ClientSocket next(proxy.port("tcp"));
  next.Send("c");
  EXPECT_EQ(next.Read(1), "c");
  EXPECT_EQ(other.accepted(), 1);
}

TEST(TcpPath, RefusesBeyondMaxConnections) {
  EchoServer echo;
  ProxyFixture proxy;
  proxy.Load(
      TcpBootstrap(echo.port(), "    circuit_breakers: {thresholds: [{max_connections: 1}]}"));
  ClientSocket first(proxy.port("tcp"));
  first.Send("a");
  ASSERT_EQ(first.Read(1), "a");
  ClientSocket second(proxy.port("tcp"));
  EXPECT_EQ(second.ReadToEnd(), "");
}

TEST(TcpPath, CountsConnectionsAndBytes) {
  EchoServer echo;
  telemetry::Registry registry;
  ServerOptions options;
  options.registry = &registry;
  ProxyFixture proxy(std::move(options));
  proxy.Load(TcpBootstrap(echo.port()));
  {
    ClientSocket client(proxy.port("tcp"));
    client.Send("hello");
    client.EndOutput();
    ASSERT_EQ(client.ReadToEnd(), "hello");
  }
  // The last of the four that a closing connection counts, with its value.
  proxy.WaitUntil([&] {
    const std::string text = registry.Prometheus();
    const size_t at = text.find("istio_tcp_received_bytes_total{");
    return at != std::string::npos && text.find("} 5", at) != std::string::npos;
  });
  const std::string text = registry.Prometheus();
  const size_t sent = text.find("istio_tcp_sent_bytes_total{");
  ASSERT_NE(sent, std::string::npos);
  EXPECT_NE(text.find("} 5", sent), std::string::npos) << text;
  EXPECT_NE(text.find("istio_tcp_connections_closed_total{"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::proxy
