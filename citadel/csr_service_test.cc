// SPDX-License-Identifier: Apache-2.0
// The certificate service behind a real TLS server, as a proxy's agent calls it.
#include "citadel/csr_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "api/istio_ca.pb.h"
#include "citadel/server_identity.h"
#include "lib/grpc/client.h"

namespace meltemi::citadel {
namespace {

using istio::v1::auth::IstioCertificateRequest;
using istio::v1::auth::IstioCertificateResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kMethod = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr const char* kReviews = "spiffe://cluster.local/ns/default/sa/reviews";

class CsrServiceTest : public ::testing::Test {
 protected:
  struct Answer {
    grpc::CallStatus status;
    IstioCertificateResponse response;
  };

  void SetUp() override {
    auto server =
        grpc::Server::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", 0), service_.Methods(),
                             {.tls_source = [this] { return identity_->context(); }});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<grpc::Channel> Connect(std::optional<tls::CertificateKey> certificate = {}) {
    tls::ClientSettings settings;
    settings.certificate = std::move(certificate);
    settings.verification.trusted_pem = {authority_->root_pem()};
    settings.verification.subject_alt_names = {
        {tls::SanMatcher::Kind::kExact, "istiod.istio-system.svc"}};
    settings.alpn = {"h2"};
    settings.server_name = "istiod.istio-system.svc";
    return grpc::Channel::Create(
        *loop_,
        [to = server_->address(), tls = *tls::ClientContext::Build(settings)]()
            -> StatusOr<grpc::Target> { return grpc::Target{to, tls}; });
  }
  Answer Call(grpc::Channel& channel, const IstioCertificateRequest& request,
              const std::string& token = "") {
    std::multimap<std::string, std::string> metadata;
    if (!token.empty()) metadata.emplace("authorization", "Bearer " + token);
    std::optional<Answer> answer;
    const auto call = grpc::Unary(channel, kMethod, metadata, request.SerializeAsString(),
                                  [&](grpc::CallStatus status, std::string bytes) {
                                    answer = Answer{std::move(status), {}};
                                    EXPECT_TRUE(answer->response.ParseFromString(bytes));
                                  });
    for (int passes = 0; passes < 1000 && !answer.has_value(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(100));
    }
    return answer.value_or(Answer{{-1, "no answer"}, {}});
  }
  IstioCertificateRequest Request(const std::string& uri = kReviews) {
    IstioCertificateRequest request;
    request.set_csr(*identity::MakeCsr(key_, uri));
    return request;
  }
  std::string Token() {
    return tokens_->Issue({.ns = "default", .service_account = "reviews"})->token;
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<Authority> authority_ = *Authority::SelfSigned("", {});
  std::unique_ptr<TokenIssuer> tokens_ = *TokenIssuer::Open("");
  Authenticator authenticator_{*tokens_, "cluster.local"};
  CsrService service_{*authority_, authenticator_};
  std::unique_ptr<ServerIdentity> identity_ = *ServerIdentity::Create(
      *loop_, *authority_, {.uris = {}, .dns = {"istiod.istio-system.svc"}, .ips = {"127.0.0.1"}});
  identity::PrivateKey key_ = *identity::PrivateKey::Generate();
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(CsrServiceTest, ATokenGetsACertificateAndThatRenewsItself) {
  const auto first = Call(*Connect(), Request("spiffe://cluster.local/ns/x/sa/other"), Token());
  ASSERT_TRUE(first.status.ok()) << first.status.message;
  ASSERT_EQ(first.response.cert_chain_size(), 2);
  const auto leaf = *identity::Certificate::Parse(first.response.cert_chain(0));
  EXPECT_THAT(leaf.alt_names().uris, ElementsAre(kReviews));

  // No token from here on: the certificate speaks for the workload.
  const auto channel = Connect(
      tls::CertificateKey{.chain_pem = first.response.cert_chain(0), .key_pem = key_.ToPem()});
  const auto second = Call(*channel, Request());
  ASSERT_TRUE(second.status.ok()) << second.status.message;
  EXPECT_THAT(identity::Certificate::Parse(second.response.cert_chain(0))->alt_names().uris,
              ElementsAre(kReviews));
  EXPECT_EQ(service_.counters().success_cert_issuance_count, 2u);
}

TEST_F(CsrServiceTest, RefusesWhoeverProvesNothing) {
  const auto channel = Connect();
  EXPECT_EQ(Call(*channel, Request()).status.code, 16);
  EXPECT_EQ(Call(*channel, Request(), "x.y.z").status.code, 16);
  const auto other = *TokenIssuer::Open("");
  const auto forged =
      Call(*channel, Request(), other->Issue({.ns = "a", .service_account = "b"})->token);
  EXPECT_EQ(forged.status.code, 16);
  EXPECT_THAT(forged.status.message, HasSubstr("not signed by this mesh"));
  EXPECT_EQ(service_.counters().authentication_failure_count, 3u);
  EXPECT_EQ(authority_->certificates_signed(), 1u) << "the server's own";
}

TEST_F(CsrServiceTest, RefusesBadRequests) {
  const auto channel = Connect();
  auto request = Request();
  request.set_validity_duration(91 * 24 * 3600);
  EXPECT_EQ(Call(*channel, request, Token()).status.code, 3);
  request.set_validity_duration(INT64_MAX);
  EXPECT_EQ(Call(*channel, request, Token()).status.code, 3);
  request.set_validity_duration(0);
  request.set_csr("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n");
  EXPECT_EQ(Call(*channel, request, Token()).status.code, 3);
  request = Request();
  (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value("x");
  EXPECT_EQ(Call(*channel, request, Token()).status.code, 16);
}

TEST_F(CsrServiceTest, AdmitsOnlyTheNamespaceAndAccountOfTheCaller) {
  grpc::PeerInfo peer;
  EXPECT_EQ(*authenticator_.Admit(peer, "default", "reviews"), "") << "plain text";
  peer.is_tls = true;
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_.Admit(peer, "default", "").status()));
  peer.metadata.emplace("authorization", "Bearer " + Token());
  EXPECT_EQ(*authenticator_.Admit(peer, "default", "reviews"), kReviews);
  EXPECT_EQ(*authenticator_.Admit(peer, "default", ""), kReviews);
  EXPECT_TRUE(absl::IsPermissionDenied(authenticator_.Admit(peer, "other", "").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(authenticator_.Admit(peer, "default", "ratings").status()));
  peer.uri_san = "spiffe://elsewhere/ns/default/sa/reviews";
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_.Admit(peer, "default", "").status()));
}

}  // namespace
}  // namespace meltemi::citadel
