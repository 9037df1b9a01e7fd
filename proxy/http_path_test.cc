// SPDX-License-Identifier: Apache-2.0
// HTTP through the whole data path with real sockets: bootstrap text in, requests and answers out.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "proxy/http/testing/http_origin.h"
#include "proxy/testing/proxy_fixture.h"

namespace meltemi::proxy {
namespace {

using testing::ClientSocket;
using testing::HttpOrigin;
using testing::ProxyFixture;

std::string Cluster(const std::string& name, uint16_t port) {
  return "  - name: " + name + R"(
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: )" +
         name + R"(
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: )" +
         std::to_string(port) + "}}}\n";
}

std::string HttpBootstrap(const std::string& routes, const std::string& clusters,
                          const std::string& more_hcm = "") {
  return R"(
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h
          normalize_path: true
          upgrade_configs: [{upgrade_type: websocket}]
)" + more_hcm +
         R"(
          route_config:
            name: r
            virtual_hosts:
            - name: all
              domains: ["*"]
              include_request_attempt_count: true
              routes:
)" + routes +
         R"(
          http_filters:
          - name: envoy.filters.http.fault
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}
          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
)" + clusters;
}

constexpr char kAll[] = "              - {match: {prefix: /}, route: {cluster: backend}}\n";

std::string Get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a.example\r\n" + headers + "\r\n";
}

struct Response {
  int status = 0;
  std::string head, body;
};

// Reads one answer with a content-length or chunks.
Response ReadResponse(ClientSocket& client) {
  Response response;
  while (!response.head.ends_with("\r\n\r\n")) {
    const std::string byte = client.Read(1);
    if (byte.empty()) return response;
    response.head += byte;
  }
  response.status = std::stoi(response.head.substr(9, 3));
  std::string lower = response.head;
  std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
  if (const size_t at = lower.find("content-length: "); at != std::string::npos) {
    response.body = client.Read(std::stoul(lower.substr(at + 16)));
  } else if (lower.find("transfer-encoding: chunked") != std::string::npos) {
    while (!response.body.ends_with("0\r\n\r\n")) {
      const std::string byte = client.Read(1);
      if (byte.empty()) break;
      response.body += byte;
    }
  }
  return response;
}

TEST(HttpPath, ProxiesManyRequestsOverOneConnectionEachSide) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  for (int i = 0; i < 50; ++i) {
    client.Send(Get("/x" + std::to_string(i)));
    const Response response = ReadResponse(client);
    ASSERT_EQ(response.status, 200) << response.head;
    EXPECT_NE(response.body.find("GET /x" + std::to_string(i) + " HTTP/1.1"), std::string::npos);
    EXPECT_NE(response.body.find("x-forwarded-proto: http"), std::string::npos) << response.body;
    EXPECT_NE(response.body.find("x-request-id: "), std::string::npos);
    EXPECT_NE(response.head.find("server: envoy"), std::string::npos) << response.head;
  }
  EXPECT_EQ(origin.connections(), 1);
}

TEST(HttpPath, CarriesBodiesOfAllFramings) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_TRUE(ReadResponse(client).body.ends_with("hello"));
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
      "\r\n");
  EXPECT_TRUE(ReadResponse(client).body.ends_with("abcdefg"));
  client.Send(Get("/chunked"));
  const Response chunked = ReadResponse(client);
  EXPECT_EQ(chunked.status, 200);
  EXPECT_NE(chunked.body.find("hello"), std::string::npos);
  client.Send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string head;
  while (!head.ends_with("\r\n\r\n")) head += client.Read(1);
  client.Send(Get("/after-head"));
  EXPECT_EQ(ReadResponse(client).status, 200);
}

TEST(HttpPath, CarriesBodiesLargerThanAllBuffers) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  const std::string large(8 * 1024 * 1024, 'y');
  client.SendInBackground("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                              std::to_string(large.size()) + "\r\n\r\n" + large,
                          false);
  EXPECT_TRUE(ReadResponse(client).body.ends_with(large));
  ClientSocket down(proxy.port("http"));
  down.Send(Get("/large/8388608"));
  EXPECT_EQ(ReadResponse(down).body.size(), 8388608U);
}

TEST(HttpPath, AnswersItselfWhereNothingElseCan) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(
      R"(              - {match: {path: /direct}, direct_response: {status: 418, body: {inline_string: teapot}}}
              - {match: {prefix: /moved}, redirect: {https_redirect: true, prefix_rewrite: /new}}
              - {match: {prefix: /nowhere}, route: {cluster: gone}}
              - {match: {prefix: /dead}, route: {cluster: dead}}
              - {match: {prefix: /ok}, route: {cluster: backend}}
)",
      Cluster("backend", origin.port()) + Cluster("dead", testing::UnusedPort())));
  ClientSocket client(proxy.port("http"));
  client.Send(Get("/direct"));
  Response response = ReadResponse(client);
  EXPECT_EQ(response.status, 418);
  EXPECT_EQ(response.body, "teapot");
  client.Send(Get("/moved/x?y"));
  response = ReadResponse(client);
  EXPECT_EQ(response.status, 301);
  EXPECT_NE(response.head.find("location: https://a.example/new/x?y"), std::string::npos);
  client.Send(Get("/nowhere"));
  EXPECT_EQ(ReadResponse(client).status, 503);
  client.Send(Get("/other"));
  EXPECT_EQ(ReadResponse(client).status, 404);
  client.Send(Get("/dead"));
  response = ReadResponse(client);
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("remote connection failure"), std::string::npos) << response.body;
  client.Send(Get("/ok"));
  EXPECT_EQ(ReadResponse(client).status, 200) << "one connection through all of it";
}

TEST(HttpPath, RetriesUntilItWorks) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(
      R"(              - {match: {prefix: /}, route: {cluster: backend, retry_policy: {retry_on: 5xx, num_retries: 2}}}
)",
      Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  client.Send("POST /flaky HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
  const Response response = ReadResponse(client);
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find("x-envoy-attempt-count: 2"), std::string::npos) << response.body;
  EXPECT_TRUE(response.body.ends_with("body"));
  EXPECT_EQ(origin.requests(), 2);
}

TEST(HttpPath, ConnectionsDroppedByTheOriginAre503) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  client.Send(Get("/drop"));
  const Response response = ReadResponse(client);
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("connection termination"), std::string::npos) << response.body;
  client.Send(Get("/after"));
  EXPECT_EQ(ReadResponse(client).status, 200);
}

TEST(HttpPath, SplitsTrafficByWeight) {
  HttpOrigin one("one"), two("two");
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(
      R"(              - {match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 80}, {name: b, weight: 20}]}}}
)",
      Cluster("a", one.port()) + Cluster("b", two.port())));
  ClientSocket client(proxy.port("http"));
  for (int i = 0; i < 500; ++i) {
    client.Send(Get("/"));
    ASSERT_EQ(ReadResponse(client).status, 200);
  }
  EXPECT_NEAR(two.requests(), 100, 50);
  EXPECT_EQ(one.requests() + two.requests(), 500);
}

TEST(HttpPath, WritesIstiosAccessLog) {
  HttpOrigin origin;
  const std::string path = ::testing::TempDir() + "http_path_access.log";
  std::remove(path.c_str());
  {
    ProxyFixture proxy;
    proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port()),
                             R"(          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: )" + path + "\n"));
    ClientSocket client(proxy.port("http"));
    client.Send(Get("/logged?x", "User-Agent: test\r\n"));
    ASSERT_EQ(ReadResponse(client).status, 200);
    client.Send(Get("/again"));
    ASSERT_EQ(ReadResponse(client).status, 200);
  }
  std::ifstream file(path);
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  EXPECT_NE(line.find("\"GET /logged?x HTTP/1.1\" 200 - via_upstream - \"-\" 0 "),
            std::string::npos)
      << line;
  EXPECT_NE(line.find("\"test\""), std::string::npos) << line;
  EXPECT_NE(line.find("127.0.0.1:" + std::to_string(origin.port()) + "\" backend"),
            std::string::npos)
      << line;
}

TEST(HttpPath, AbortsByFaultOfTheRoute) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(
      R"(              - match: {prefix: /}
                route: {cluster: backend}
                typed_per_filter_config:
                  envoy.filters.http.fault:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
                    abort: {http_status: 555, percentage: {numerator: 100}}
)",
      Cluster("backend", origin.port())));
  ClientSocket client(proxy.port("http"));
  client.Send(Get("/"));
  const Response response = ReadResponse(client);
  EXPECT_EQ(response.status, 555);
  EXPECT_EQ(response.body, "fault filter abort");
  EXPECT_EQ(origin.requests(), 0);
}

TEST(HttpPath, RefusesGarbageAndGoesOn) {
  HttpOrigin origin;
  ProxyFixture proxy;
  proxy.Load(HttpBootstrap(kAll, Cluster("backend", origin.port())));
  ClientSocket garbage(proxy.port("http"));
  garbage.Send("NOT HTTP AT ALL\r\n\r\n");
  EXPECT_EQ(ReadResponse(garbage).status, 400);
  ClientSocket smuggler(proxy.port("http"));
  smuggler.Send(
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(ReadResponse(smuggler).status, 400);
  ClientSocket client(proxy.port("http"));
  client.Send(Get("/"));
  EXPECT_EQ(ReadResponse(client).status, 200);
}

}  // namespace
}  // namespace meltemi::proxy
