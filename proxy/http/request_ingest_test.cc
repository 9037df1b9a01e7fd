// SPDX-License-Identifier: Apache-2.0
// Requests made canonical: paths, client address, sanitised headers, client certificate header.
#include "proxy/http/request_ingest.h"

#include <gtest/gtest.h>

#include "proxy/http/client_cert.h"
#include "proxy/http/path.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

TEST(Path, NormalizesAsRfc3986) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"/a/b", "/a/b"},
      {"/a/../b?x=/../", "/b?x=/../"},
      {"/a/./b/.", "/a/b/"},
      {"/../../etc", "/etc"},
      {"/a/..", "/"},
      {"/%61dmin", "/admin"},
      {"/a%2Fb", "/a%2Fb"},
      {"/a\\..\\b", "/b"},
      {"/x/%2e%2e/admin", "/admin"},
      {"/user/..;foo=bar/admin", "/admin"},
      {"/a..b/c", "/a..b/c"},
      {"/.hidden", "/.hidden"},
      {"/a%zz", "/a%zz"},
      {"/a%", "/a%"},
      {"/%%32e%%32e/", "/%%32e%%32e/"},
      {"/a%a%65", "/a%a%65"},
      {"/a{b}|\"c", "/a%7Bb%7D%7C%22c"},
  };
  Arena arena;
  for (const auto& [in, out] : cases) {
    const PathResult result = NormalizePath(in, arena);
    EXPECT_TRUE(result.is_valid) << in;
    EXPECT_EQ(result.path, out) << in;
    EXPECT_EQ(NormalizePath(result.path, arena).path, out) << "twice: " << in;
  }
  for (const std::string_view bad : {"/a%00b", "/%00"}) {
    EXPECT_FALSE(NormalizePath(bad, arena).is_valid) << bad;
  }
}

TEST(Path, MergesSlashesBeforeTheQueryOnly) {
  Arena arena;
  EXPECT_EQ(MergeSlashes("//a///b?c=//", arena), "/a/b?c=//");
  EXPECT_TRUE(HasEscapedSlashes("/a%2fb"));
  EXPECT_TRUE(HasEscapedSlashes("/a%5Cb"));
  EXPECT_FALSE(HasEscapedSlashes("/a?b=%2f"));
  EXPECT_EQ(UnescapeSlashes("/a%2fb?c=%2f", arena), "/a/b?c=%2f");
}

class IngestTest : public ::testing::Test {
 protected:
  IngestTest() {
    head_.method = "GET";
    head_.authority = "h";
    head_.path = "/";
    facts_.remote = net::Address::Ipv4(0x0a000001, 999);
  }
  IngestResult Run() { return Ingest(options_, facts_, random_, head_); }
  std::string Header(std::string_view name) { return std::string(head_.headers.Joined(name)); }

  Arena arena_;
  http::RequestHead head_{arena_};
  HttpOptions options_;
  DownstreamFacts facts_;
  Random random_{7};
};

TEST_F(IngestTest, SidecarsBelieveTheLastForwardedAddressAndAppendNothing) {
  head_.headers.Add(http::HeaderId::kXForwardedFor, "1.1.1.1, 2.2.2.2");
  EXPECT_EQ(Run().client_ip, "2.2.2.2");
  EXPECT_EQ(Header("x-forwarded-for"), "1.1.1.1, 2.2.2.2");
}

TEST_F(IngestTest, EdgesAppendThePeerAndCountTrustedHops) {
  options_.uses_remote_address = true;
  head_.headers.Add(http::HeaderId::kXForwardedFor, "1.1.1.1, 2.2.2.2");
  head_.headers.Add(http::HeaderId::kXForwardedProto, "https");
  EXPECT_EQ(Run().client_ip, "");
  EXPECT_EQ(Header("x-forwarded-for"), "1.1.1.1, 2.2.2.2,10.0.0.1");
  EXPECT_EQ(Header("x-forwarded-proto"), "http") << "a stranger's word does not count";
  EXPECT_EQ(Header("x-envoy-external-address"), "10.0.0.1");
}

TEST_F(IngestTest, TrustedHopsNameTheClient) {
  options_.uses_remote_address = true;
  options_.xff_trusted_hops = 2;
  head_.headers.Add(http::HeaderId::kXForwardedFor, "1.1.1.1,2.2.2.2");
  EXPECT_EQ(Run().client_ip, "1.1.1.1");
}

TEST_F(IngestTest, StrangersCannotSteerTheRouter) {
  head_.headers.Add("x-envoy-retry-on", "5xx");
  head_.headers.Add("x-envoy-upstream-rq-timeout-ms", "1");
  head_.headers.Add("x-envoy-internal", "true");
  head_.headers.Add("x-envoy-attempt-count", "1");
  EXPECT_FALSE(Run().is_internal);
  EXPECT_EQ(Header("x-envoy-retry-on"), "");
  EXPECT_EQ(Header("x-envoy-upstream-rq-timeout-ms"), "");
  EXPECT_EQ(Header("x-envoy-internal"), "");
  EXPECT_EQ(Header("x-envoy-attempt-count"), "1");
}

TEST_F(IngestTest, RequestIdsAreKeptInsideAndReplacedAtTheEdge) {
  head_.headers.Add(http::HeaderId::kXRequestId, "mine");
  Run();
  EXPECT_EQ(Header("x-request-id"), "mine");
  options_.uses_remote_address = true;
  Run();
  const std::string id = Header("x-request-id");
  ASSERT_EQ(id.size(), 36U);
  EXPECT_EQ(id[14], '4');
  EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos);
}

TEST_F(IngestTest, RefusesWhatCannotBeRouted) {
  options_.normalizes_path = true;
  head_.path = "/%00";
  EXPECT_EQ(Run().status, 400);
  head_.path = "no-slash";
  EXPECT_EQ(Run().status, 404);
  head_.path = "/";
  head_.authority = "";
  EXPECT_EQ(Run().status, 400);
  head_.authority = "h";
  head_.protocol = http::Protocol::kHttp10;
  EXPECT_EQ(Run().status, 426);
}

TEST_F(IngestTest, ClientCertificateHeaderFollowsItsMode) {
  options_.client_cert = HttpOptions::ClientCert::kAppendForward;
  options_.cert_has_uri = options_.cert_has_subject = options_.cert_has_dns = true;
  head_.headers.Add(http::HeaderId::kXForwardedClientCert, "By=forged");
  Run();
  EXPECT_EQ(Header("x-forwarded-client-cert"), "") << "plain text proves nothing";
  facts_.is_mutual_tls = true;
  net::TlsPeer peer;
  peer.uri_san = "spiffe://td/ns/a/sa/b";
  peer.certificate_hash = "\xab\xcd";
  facts_.tls = std::make_unique<TlsFacts>();
  facts_.tls->peer = &peer;
  facts_.tls->local_uri_san = "spiffe://td/ns/c/sa/d";
  facts_.tls->client_cert_element = ClientCertElement(options_, *facts_.tls);
  head_.headers.Set(http::HeaderId::kXForwardedClientCert, "By=one");
  Run();
  EXPECT_EQ(Header("x-forwarded-client-cert"),
            "By=one,By=spiffe://td/ns/c/sa/d;Hash=abcd;Subject=\"\";URI=");
}

}  // namespace
}  // namespace meltemi::proxy
