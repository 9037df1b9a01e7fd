// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/tls/testing/tls_fixture.h"

namespace meltemi::tls {
namespace {

using namespace testing;

TEST_F(TlsTest, SubjectAndDnsNamesOfThePeer) {
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.san = "DNS:*.example.com", .common_name = "a+b"})};
  ClientSettings client = Client();
  client.verification.subject_alt_names = {{SanMatcher::Kind::kExact, "www.example.com"}};
  Start(server, client);
  RunToConnected();
  EXPECT_EQ("*.example.com", client_.connection->tls_peer()->dns_san);
  EXPECT_EQ("CN=a\\+b,O=Meltemi\\, tests", client_.connection->tls_peer()->subject);
}

TEST_F(TlsTest, SanMatchers) {
  const struct {
    SanMatcher::Kind kind;
    const char* value;
    bool is_match;
  } cases[] = {{SanMatcher::Kind::kExact, "spiffe://cluster.local/ns/default/sa/other", false},
               {SanMatcher::Kind::kExact, "spiffe://cluster.local/ns/default/sa/ap", false},
               {SanMatcher::Kind::kPrefix, "spiffe://cluster.local/", true},
               {SanMatcher::Kind::kPrefix, "spiffe://cluster.locale/", false},
               {SanMatcher::Kind::kSuffix, "/sa/app", true},
               {SanMatcher::Kind::kContains, "/ns/default/", true},
               {SanMatcher::Kind::kContains, "/ns/prod/", false}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.verification.subject_alt_names = {{c.kind, c.value}};
    Start(Server(), client);
    if (c.is_match) {
      RunToConnected();
      continue;
    }
    RunToClosed();
    EXPECT_EQ(CloseReason::kTlsFailed, *client_.closed) << c.value;
    EXPECT_EQ("SAN mismatch: got spiffe://cluster.local/ns/default/sa/app", client_.failure);
  }
}

TEST_F(TlsTest, TheServerJudgesItsClient) {
  const CertificateAuthority stranger("stranger");
  const struct {
    std::optional<CertificateKey> certificate;
    const char* server_says;
    const char* client_hears;
  } cases[] = {{std::nullopt, "no client certificate", "peer requires a client certificate"},
               {stranger.Issue(), "unknown issuer", "peer does not know our issuer"},
               {ca_.Issue({.starts_in_seconds = -100, .ends_in_seconds = -10}),
                "certificate expired", "peer finds our certificate expired"},
               {ca_.Issue({.starts_in_seconds = 100, .ends_in_seconds = 200}),
                "certificate not valid yet", nullptr},
               {ca_.Issue({.san = "URI:spiffe://elsewhere/x"}),
                "SAN mismatch: got spiffe://elsewhere/x", nullptr}};
  ServerSettings server = Server();
  server.verification.subject_alt_names = {{SanMatcher::Kind::kPrefix, "spiffe://cluster.local/"}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.certificate = c.certificate;
    Start(server, client);
    RunUntil([&] { return server_.closed.has_value() && client_.closed.has_value(); });
    EXPECT_EQ(CloseReason::kTlsFailed, *server_.closed);
    EXPECT_EQ(c.server_says, server_.failure);
    if (c.client_hears != nullptr) {
      EXPECT_EQ(c.client_hears, client_.failure);
    }
    EXPECT_FALSE(server_.is_connected);
  }
}

TEST_F(TlsTest, AnOptionalClientCertificateMayBeAbsentButNotWrong) {
  ServerSettings server = Server();
  server.client_certificate = ClientCertificate::kOptional;
  ClientSettings client = Client();
  client.certificate.reset();
  Start(server, client);
  RunToConnected();
  EXPECT_TRUE(server_.connection->tls_peer()->certificate_der.empty());
  client.certificate = CertificateAuthority("stranger").Issue();
  Start(server, client);
  RunToClosed();
  EXPECT_EQ("unknown issuer", server_.failure);
}

TEST_F(TlsTest, AServerOfAnUnknownIssuerIsRefusedUnlessVerificationIsOff) {
  ServerSettings server = Server();
  server.client_certificate = ClientCertificate::kNone;
  server.certificates = {CertificateAuthority("stranger").Issue()};
  ClientSettings client = Client();
  Start(server, client);
  RunToClosed();
  EXPECT_EQ("unknown issuer", client_.failure);
  client.verification = {.is_disabled = true};
  Start(server, client);
  RunToConnected();
  Echo("accepted anyway");
}

TEST_F(TlsTest, ANulDoesNotEndAName) {
  using Kind = SanMatcher::Kind;
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.raw_dns = std::string("good.test\0.evil.test", 20)})};
  const struct {
    SanMatcher matcher;
    bool is_match;
  } cases[] = {{{Kind::kExact, "good.test", SanMatcher::Type::kDns}, false},
               {{Kind::kSuffix, "good.test"}, false},
               {{Kind::kRegex, "good\\.test"}, false},
               {{Kind::kSuffix, ".evil.test"}, true}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.verification.subject_alt_names = {c.matcher};
    Start(server, client);
    c.is_match ? RunToConnected() : RunToClosed();
    if (!c.is_match) {
      EXPECT_EQ("SAN mismatch: got good.test\\0.evil.test", client_.failure);
    }
  }
}

TEST_F(TlsTest, WhatIsNotVerifiedIsNoIdentity) {
  const CertificateAuthority stranger("stranger");
  ServerSettings server = Server();
  server.verification.accepts_untrusted = true;
  for (const bool is_known : {true, false}) {
    ClientSettings client = Client();
    client.certificate = is_known ? ca_.Issue() : stranger.Issue();
    Start(server, client);
    RunToConnected();
    const net::TlsPeer& seen = *server_.connection->tls_peer();
    EXPECT_EQ(is_known, seen.is_verified);
    EXPECT_EQ(is_known ? kApp : "", seen.uri_san);
    EXPECT_FALSE(seen.certificate_der.empty());
  }
}

}  // namespace
}  // namespace meltemi::tls
