// SPDX-License-Identifier: Apache-2.0
#include "citadel/token_issuer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/testing/fake_clock.h"
#include "lib/identity/jwt.h"

namespace meltemi::citadel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenIssuerTest : public ::testing::Test {
 protected:
  std::string Why(std::string_view token, std::string_view audience = kTokenAudience) {
    return std::string(issuer_->Verify(token, audience).status().message());
  }
  FakeClock clock_;
  std::unique_ptr<TokenIssuer> issuer_ = *TokenIssuer::Open("", clock_);
  const TokenSpec reviews_{.ns = "default", .service_account = "reviews"};
};

TEST_F(TokenIssuerTest, ItsOwnTokensHoldForTheirTimeAndAudience) {
  const IssuedToken issued = *issuer_->Issue(reviews_);
  EXPECT_EQ(issued.expires, clock_.Wall() + std::chrono::hours(1));
  EXPECT_THAT(issued.audiences, ElementsAre("istio-ca"));
  const auto who = issuer_->Verify(issued.token, "istio-ca");
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->ns, "default");
  EXPECT_EQ(who->service_account, "reviews");
  EXPECT_THAT(Why(issued.token, "vault"), HasSubstr("not meant for the audience \"vault\""));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_THAT(Why(issued.token), HasSubstr("has expired"));
}

TEST_F(TokenIssuerTest, LifetimesAreBounded) {
  TokenSpec spec = reviews_;
  spec.lifetime = std::chrono::hours(1000);
  EXPECT_EQ(issuer_->Issue(spec)->expires, clock_.Wall() + std::chrono::hours(24));
  spec.lifetime = std::chrono::seconds(1);
  EXPECT_EQ(issuer_->Issue(spec)->expires, clock_.Wall() + std::chrono::minutes(10));
}

TEST_F(TokenIssuerTest, OthersTokensAreRefused) {
  const auto other = *TokenIssuer::Open("", clock_);
  EXPECT_THAT(Why(other->Issue(reviews_)->token), HasSubstr("not signed by this mesh"));
  EXPECT_THAT(Why("a.b"), HasSubstr("malformed"));
  EXPECT_THAT(Why(""), HasSubstr("malformed"));
}

TEST_F(TokenIssuerTest, NamesThatCouldForgeAnotherSubjectAreRefused) {
  EXPECT_FALSE(issuer_->Issue({.ns = "a:b", .service_account = "c"}).ok());
  EXPECT_FALSE(issuer_->Issue({.ns = "a", .service_account = ""}).ok());
}

TEST_F(TokenIssuerTest, ClaimsAreThoseOfKubernetes) {
  const IssuedToken issued = *issuer_->Issue({.ns = "default",
                                              .service_account = "reviews",
                                              .service_account_uid = "u-1",
                                              .pod = "reviews-1",
                                              .pod_uid = "u-2"});
  const size_t first = issued.token.find('.'), second = issued.token.rfind('.');
  const auto claims = nlohmann::json::parse(
      *identity::Base64UrlDecode(issued.token.substr(first + 1, second - first - 1)));
  EXPECT_EQ(claims["sub"], "system:serviceaccount:default:reviews");
  EXPECT_EQ(claims["kubernetes.io"], nlohmann::json::parse(R"({"namespace": "default",
               "serviceaccount": {"name": "reviews", "uid": "u-1"},
               "pod": {"name": "reviews-1", "uid": "u-2"}})"));
}

TEST_F(TokenIssuerTest, TheKeyIsKept) {
  const std::string path = ::testing::TempDir() + "/token-key.pem";
  std::filesystem::remove(path);
  const std::string token = (*TokenIssuer::Open(path, clock_))->Issue(reviews_)->token;
  EXPECT_TRUE((*TokenIssuer::Open(path, clock_))->Verify(token, "istio-ca").ok());
  struct stat about{};
  ASSERT_EQ(stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace meltemi::citadel
