// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "lib/identity/certificate.h"
#include "lib/identity/jwt.h"
#include "lib/identity/key.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::identity {
namespace {

using std::chrono::hours;

const WallTime kNow = WallTime(hours(24 * 365 * 56));

IssueSpec RootSpec() {
  return {.names = {},
          .organization = "cluster.local",
          .not_before = kNow,
          .not_after = kNow + hours(24 * 3650),
          .is_ca = true};
}

TEST(SpiffeId, RoundTrips) {
  const auto id = SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/reviews");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->ns, "shop");
  EXPECT_EQ(id->service_account, "reviews");
  EXPECT_EQ(id->text(), "spiffe://cluster.local/ns/shop/sa/reviews");
}

TEST(SpiffeId, RefusesOtherShapes) {
  for (const char* bad :
       {"", "spiffe://", "spiffe://td", "spiffe://td/ns/a", "spiffe://td/ns//sa/b",
        "spiffe://td/ns/a/sa/", "spiffe://td/ns/a/sa/b/c", "spiffe:///ns/a/sa/b",
        "http://td/ns/a/sa/b", "spiffe://td/ns/a/sa/b c", "spiffe://td/sa/a/ns/b"}) {
    EXPECT_FALSE(SpiffeId::Parse(bad).ok()) << bad;
  }
}

TEST(SpiffeId, ComesFromATokensSubject) {
  const auto id = SpiffeId::FromSubject("mesh", "system:serviceaccount:ns1:sa1");
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(id->text(), "spiffe://mesh/ns/ns1/sa/sa1");
  EXPECT_FALSE(SpiffeId::FromSubject("mesh", "system:serviceaccount:ns1").ok());
  EXPECT_FALSE(SpiffeId::FromSubject("mesh", "system:serviceaccount:ns1:a/b").ok());
  EXPECT_FALSE(SpiffeId::FromSubject("mesh", "alice").ok());
}

TEST(Key, SurvivesPem) {
  const auto key = PrivateKey::Generate();
  ASSERT_TRUE(key.ok());
  const auto again = PrivateKey::FromPem(key->ToPem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key(), key->public_key());
  const auto other = PrivateKey::Generate();
  EXPECT_FALSE(other->public_key() == key->public_key());
  EXPECT_FALSE(PrivateKey::FromPem("hello").ok());
}

TEST(Certificate, IssuedLeafCarriesNamesAndChain) {
  const auto root_key = PrivateKey::Generate();
  const auto root = SelfSign(*root_key, RootSpec());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(root->is_ca());
  EXPECT_TRUE(root->IsIssuedBy(*root));
  const auto leaf_key = PrivateKey::Generate();
  const auto csr = MakeCsr(*leaf_key, "spiffe://td/ns/evil/sa/admin");
  ASSERT_TRUE(csr.ok());
  const auto subject = ReadCsr(*csr);
  ASSERT_TRUE(subject.ok()) << subject.status();
  IssueSpec spec{.names = {.uris = {"spiffe://td/ns/a/sa/b"}, .dns = {"x.y"}, .ips = {"127.0.0.1"}},
                 .organization = "",
                 .not_before = kNow,
                 .not_after = kNow + hours(24)};
  const auto leaf = Issue(*root, *root_key, *subject, spec);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_FALSE(leaf->is_ca());
  EXPECT_TRUE(leaf->IsIssuedBy(*root));
  EXPECT_FALSE(root->IsIssuedBy(*leaf));
  EXPECT_EQ(leaf->public_key(), leaf_key->public_key());
  EXPECT_EQ(leaf->alt_names().uris, std::vector<std::string>{"spiffe://td/ns/a/sa/b"});
  EXPECT_EQ(leaf->alt_names().dns, std::vector<std::string>{"x.y"});
  EXPECT_EQ(leaf->alt_names().ips, std::vector<std::string>{"127.0.0.1"});
  EXPECT_EQ(leaf->not_after(), kNow + hours(24));
}

TEST(Certificate, BundlesParseWhole) {
  const auto key = PrivateKey::Generate();
  const auto root = SelfSign(*key, RootSpec());
  const auto all = Certificate::ParseAll(ToPem({*root, *root}));
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->size(), 2u);
  EXPECT_TRUE(all->front() == *root);
  EXPECT_FALSE(Certificate::ParseAll("").ok());
  std::string damaged = root->ToPem();
  damaged[damaged.size() / 2] = '!';
  EXPECT_FALSE(Certificate::ParseAll(root->ToPem() + damaged).ok());
}

TEST(Csr, RefusesTamperedAndForeign) {
  const auto key = PrivateKey::Generate();
  std::string csr = *MakeCsr(*key, "spiffe://td/ns/a/sa/b");
  csr[csr.size() / 2] = csr[csr.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(ReadCsr(csr).ok());
  EXPECT_FALSE(ReadCsr("-----BEGIN CERTIFICATE REQUEST-----\n").ok());
  EXPECT_FALSE(ReadCsr(std::string(100000, 'x')).ok());
}

TEST(Base64Url, RoundTripsAndRefusesNoise) {
  using namespace std::string_literals;
  for (const std::string& text : {""s, "a"s, "ab"s, "abc"s, "abcd"s, "\0\xff\x80"s}) {
    EXPECT_EQ(*Base64UrlDecode(Base64UrlEncode(text)), text);
  }
  EXPECT_FALSE(Base64UrlDecode("a").ok());
  EXPECT_FALSE(Base64UrlDecode("ab=").ok());
  EXPECT_FALSE(Base64UrlDecode("QR").ok());  // trailing bits set
}

TEST(Jwt, VerifiesOwnTokensOnly) {
  const auto key = PrivateKey::Generate();
  const auto token = SignJwt(*key, {{"sub", "x"}, {"exp", 5}});
  ASSERT_TRUE(token.ok()) << token.status();
  const auto claims = VerifyJwt(key->public_key(), *token);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ((*claims)["sub"], "x");
  EXPECT_FALSE(VerifyJwt(PrivateKey::Generate()->public_key(), *token).ok());
  const std::string none = Base64UrlEncode(R"({"alg":"none"})") + token->substr(token->find('.'));
  EXPECT_FALSE(VerifyJwt(key->public_key(), none).ok());
  for (size_t i = 0; i < token->size(); i += 7) {
    std::string tampered = *token;
    tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(VerifyJwt(key->public_key(), tampered).ok()) << i;
  }
  for (const char* bad : {"", ".", "..", "a.b", "a.b.c.d"}) {
    EXPECT_FALSE(VerifyJwt(key->public_key(), bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace meltemi::identity
