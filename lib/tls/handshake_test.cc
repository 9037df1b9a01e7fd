// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/tls/testing/tls_fixture.h"

namespace meltemi::tls {
namespace {

using namespace testing;

TEST_F(TlsTest, MutualHandshakeOnBothVersions) {
  for (const int version : {12, 13}) {
    ClientSettings client = Client();
    client.version_min = client.version_max = version;
    Start(Server(), client);
    RunToConnected();
    Echo("hello");
    const net::TlsPeer& seen = *server_.connection->tls_peer();
    EXPECT_EQ(kApp, seen.uri_san);
    EXPECT_EQ("istio", seen.alpn);
    EXPECT_EQ(client.server_name, seen.server_name);
    EXPECT_EQ(version == 12 ? "TLSv1.2" : "TLSv1.3", seen.version);
    EXPECT_FALSE(seen.certificate_der.empty());
    EXPECT_EQ(kApp, client_.connection->tls_peer()->uri_san);
    EXPECT_EQ(version == 12 ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256",
              seen.cipher);
  }
}

// As BoringSSL and OpenSSL servers have it: an Envoy offers "istio" to a port that speaks "h2".
TEST_F(TlsTest, WithoutACommonProtocolTheConnectionHasNone) {
  ClientSettings client = Client();
  client.alpn = {"http/1.1"};
  Start(Server(), client);
  RunToConnected();
  EXPECT_EQ("", server_.connection->tls_peer()->alpn);
  EXPECT_EQ("", client_.connection->tls_peer()->alpn);
  Echo("no protocol was chosen");
}

TEST_F(TlsTest, ChoosesTheCertificateByServerName) {
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.san = "DNS:a.test"}), ca_.Issue({.san = "DNS:b.test"})};
  ClientSettings client = Client();
  client.verification.subject_alt_names.clear();
  for (const char* name : {"a.test", "b.test", "unknown.test"}) {
    client.server_name = name;
    Start(server, client);
    RunToConnected();
    EXPECT_EQ(std::string_view(name) == "b.test" ? "b.test" : "a.test",
              client_.connection->tls_peer()->dns_san);
  }
}

TEST_F(TlsTest, ASecondConnectionResumesTheFirst) {
  const auto server = *ServerContext::Build(Server());
  const auto client = *ClientContext::Build(Client());
  Start(server, client);
  RunToConnected();
  EXPECT_FALSE(client_.connection->tls_peer()->resumed);
  server_.connection->output().Append("the tickets come before this");
  server_.connection->Flush();
  RunUntil([&] { return !client_.got.empty(); });
  Start(server, client);
  RunToConnected();
  EXPECT_TRUE(client_.connection->tls_peer()->resumed);
  EXPECT_TRUE(server_.connection->tls_peer()->resumed);
  EXPECT_EQ(kApp, server_.connection->tls_peer()->uri_san);
  Echo("resumed");
}

TEST_F(TlsTest, RotationLeavesOpenConnectionsAlone) {
  auto server = *ServerContext::Build(Server());
  auto client = *ClientContext::Build(Client());
  Start(server, client);
  RunToConnected();
  server.reset();
  client.reset();
  Echo("on the old context, whose last reference is this connection");
}

TEST_F(TlsTest, WhatIsNoTlsIsNamed) {
  const struct {
    std::string bytes;
    const char* failure;
  } cases[] = {{"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "peer spoke plain HTTP"},
               {std::string(64, '\0'), "peer spoke no TLS, or a broken one"},
               {std::string("\x16\x03\x01\xff\xff", 5), "peer spoke no TLS, or a broken one"}};
  const auto context = *ServerContext::Build(Server());
  for (const auto& c : cases) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&server_, std::move(a), context->NewSession());
    ASSERT_EQ(static_cast<ssize_t>(c.bytes.size()), write(b.get(), c.bytes.data(), c.bytes.size()));
    RunUntil([&] { return server_.closed.has_value(); });
    EXPECT_EQ(CloseReason::kTlsFailed, *server_.closed);
    EXPECT_EQ(c.failure, server_.failure);
  }
}

TEST_F(TlsTest, APlainHttpServerIsNamed) {
  Fd a, b;
  Pair(SOCK_STREAM, &a, &b);
  Put(&client_, std::move(a), (*ClientContext::Build(Client()))->NewSession());
  ASSERT_LT(0, write(b.get(), "HTTP/1.1 400 Bad Request\r\n\r\n", 28));
  RunUntil([&] { return client_.closed.has_value(); });
  EXPECT_EQ("peer spoke plain HTTP", client_.failure);
}

TEST_F(TlsTest, APeerThatLeavesDuringTheHandshakeIsNamed) {
  Fd a, b;
  Pair(SOCK_STREAM, &a, &b);
  Put(&server_, std::move(a), (*ServerContext::Build(Server()))->NewSession());
  b.Reset();
  RunUntil([&] { return server_.closed.has_value(); });
  EXPECT_EQ("peer ended the connection during the handshake", server_.failure);
}

TEST_F(TlsTest, AClientHelloReadByAnInspectorComesFirst) {
  for (const size_t cut : {size_t{1}, size_t{100}, size_t{100'000}}) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&client_, std::move(b), (*ClientContext::Build(Client()))->NewSession());
    loop_->RunOnce(milliseconds(200));
    std::string hello(cut, '\0');
    const ssize_t count = read(a.get(), hello.data(), hello.size());
    ASSERT_GT(count, 0);
    hello.resize(count);
    Put(&server_, std::move(a), (*ServerContext::Build(Server()))->NewSession(), hello);
    RunToConnected();
    Echo("after the prefix");
  }
}

TEST_F(TlsTest, SettingsThatMakeNoContextAreRefused) {
  ServerSettings server = Server();
  server.certificates.clear();
  EXPECT_FALSE(ServerContext::Build(server).ok());
  server = Server();
  server.certificates[0].key_pem = ca_.Issue().key_pem;
  EXPECT_EQ("TLS server: private key does not belong to the certificate",
            Message(ServerContext::Build(server).status()));
  server = Server();
  server.certificates[0].key_pem = "nonsense";
  EXPECT_FALSE(ServerContext::Build(server).ok());
  server = Server();
  server.verification.trusted_pem = {"nonsense"};
  EXPECT_FALSE(ServerContext::Build(server).ok());
  ClientSettings client = Client();
  client.version_min = 13;
  client.version_max = 12;
  EXPECT_FALSE(ClientContext::Build(client).ok());
}

}  // namespace
}  // namespace meltemi::tls
