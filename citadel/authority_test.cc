// SPDX-License-Identifier: Apache-2.0
#include "citadel/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "citadel/files.h"
#include "lib/base/testing/fake_clock.h"

namespace meltemi::citadel {
namespace {

using identity::Certificate;
using identity::PrivateKey;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const identity::SpiffeId kReviews{"cluster.local", "default", "reviews"};

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest() {
    std::string path = ::testing::TempDir() + "/authority.XXXXXX";
    directory_ = mkdtemp(path.data());
  }
  ~AuthorityTest() override { std::filesystem::remove_all(directory_); }

  std::string Csr(const std::string& uri) { return *identity::MakeCsr(key_, uri); }
  AuthorityOptions Options() { return {.trust_domain = "cluster.local", .clock = &clock_}; }
  static mode_t Mode(const std::string& path) {
    struct stat about{};
    return stat(path.c_str(), &about) == 0 ? about.st_mode & 0777 : 0;
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteSmallFile(directory_ + "/" + name, text, 0600).ok());
  }
  Certificate MakeCa(const PrivateKey& key, const Certificate* issuer,
                     const PrivateKey* issuer_key) {
    const identity::IssueSpec spec{.names = {},
                                   .organization = issuer == nullptr ? "the root" : "one below",
                                   .not_before = clock_.Wall() - std::chrono::hours(1),
                                   .not_after = clock_.Wall() + std::chrono::hours(48),
                                   .is_ca = true};
    if (issuer == nullptr) return *identity::SelfSign(key, spec);
    return *identity::Issue(*issuer, *issuer_key, key.public_key(), spec);
  }

  FakeClock clock_;
  PrivateKey key_ = *PrivateKey::Generate();
  std::string directory_;
};

TEST_F(AuthorityTest, NamesWhoWasAuthenticatedNotWhatTheRequestSays) {
  const auto authority = *Authority::SelfSigned("", Options());
  const auto chain = authority->SignWorkload(Csr("spiffe://cluster.local/ns/kube-system/sa/admin"),
                                             kReviews, Duration::zero());
  ASSERT_TRUE(chain.ok());
  ASSERT_EQ(chain->size(), 2u);
  const Certificate leaf = *Certificate::Parse(chain->at(0));
  EXPECT_THAT(leaf.alt_names().uris, ElementsAre("spiffe://cluster.local/ns/default/sa/reviews"));
  EXPECT_THAT(leaf.alt_names().dns, IsEmpty());
  EXPECT_TRUE(leaf.subject().empty());
  EXPECT_FALSE(leaf.is_ca());
  EXPECT_TRUE(leaf.public_key() == key_.public_key());
  EXPECT_EQ(leaf.not_before(), clock_.Wall() - std::chrono::minutes(2));
  EXPECT_EQ(leaf.not_after(), clock_.Wall() + std::chrono::hours(24));
  EXPECT_TRUE(leaf.IsIssuedBy(*Certificate::Parse(chain->at(1))));
  EXPECT_EQ(chain->at(1), authority->root_pem());
}

TEST_F(AuthorityTest, BoundsTheLifetime) {
  const auto authority = *Authority::SelfSigned("", Options());
  const auto sign = [&](Duration lifetime) {
    return authority->SignWorkload(Csr(kReviews.text()), kReviews, lifetime);
  };
  EXPECT_TRUE(sign(kWorkloadLifetimeMax).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(sign(kWorkloadLifetimeMax + std::chrono::seconds(1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      authority->SignWorkload("no request", kReviews, Duration::zero()).status()));
  EXPECT_EQ(authority->certificates_signed(), 1u);
}

TEST_F(AuthorityTest, KeepsItsRootAcrossRestarts) {
  const std::string ca = directory_ + "/ca";
  const std::string root = (*Authority::SelfSigned(ca, Options()))->root_pem();
  EXPECT_EQ((*Authority::SelfSigned(ca, Options()))->root_pem(), root);
  EXPECT_EQ(Mode(ca + "/root-key.pem"), 0600u);
  EXPECT_EQ(Mode(ca + "/root-cert.pem"), 0644u);
  EXPECT_EQ(Mode(ca), 0700u);
}

TEST_F(AuthorityTest, FinishesAStartThatDiedBetweenKeyAndCertificate) {
  const std::string ca = directory_ + "/ca";
  ASSERT_TRUE(Authority::SelfSigned(ca, Options()).ok());
  std::filesystem::remove(ca + "/root-cert.pem");
  EXPECT_TRUE(Authority::SelfSigned(ca, Options()).ok());
  std::filesystem::remove(ca + "/root-key.pem");
  EXPECT_THAT(std::string(Authority::SelfSigned(ca, Options()).status().message()),
              HasSubstr("has no key beside it"));
}

TEST_F(AuthorityTest, RenewsTheRootWithItsKeySoThatOldLeavesStayGood) {
  const std::string ca = directory_ + "/ca";
  const auto before = *Authority::SelfSigned(ca, Options());
  const auto chain = *before->SignWorkload(Csr(kReviews.text()), kReviews, Duration::zero());
  clock_.Advance(kRootLifetime * 9 / 10);
  const auto after = *Authority::SelfSigned(ca, Options());
  EXPECT_NE(after->root_pem(), before->root_pem());
  EXPECT_GT(after->root_expiry(), before->root_expiry());
  EXPECT_TRUE(Certificate::Parse(chain[0])->IsIssuedBy(*Certificate::Parse(after->root_pem())));
}

TEST_F(AuthorityTest, SignsWithAPluggedInIntermediate) {
  const PrivateKey root_key = *PrivateKey::Generate(), ca_key = *PrivateKey::Generate();
  const Certificate root = MakeCa(root_key, nullptr, nullptr);
  const Certificate ca = MakeCa(ca_key, &root, &root_key);
  Write("ca-cert.pem", ca.ToPem());
  Write("ca-key.pem", ca_key.ToPem());
  Write("root-cert.pem", root.ToPem());
  Write("cert-chain.pem", ca.ToPem() + root.ToPem());
  const auto authority = Authority::PluggedIn(directory_, Options());
  ASSERT_TRUE(authority.ok()) << authority.status();
  const auto chain =
      *(*authority)->SignWorkload(Csr(kReviews.text()), kReviews, std::chrono::hours(72));
  EXPECT_THAT(std::vector(chain.begin() + 1, chain.end()), ElementsAre(ca.ToPem(), root.ToPem()));
  EXPECT_TRUE(Certificate::Parse(chain[0])->IsIssuedBy(ca));
  EXPECT_EQ(Certificate::Parse(chain[0])->not_after(), ca.not_after()) << "never outlives the CA";
}

TEST_F(AuthorityTest, RefusesPluggedInFilesThatDoNotFit) {
  const PrivateKey root_key = *PrivateKey::Generate(), ca_key = *PrivateKey::Generate();
  const Certificate root = MakeCa(root_key, nullptr, nullptr);
  const Certificate ca = MakeCa(ca_key, &root, &root_key);
  const auto problem = [&] {
    return std::string(Authority::PluggedIn(directory_, Options()).status().message());
  };
  EXPECT_THAT(problem(), HasSubstr("ca-cert.pem is missing"));
  Write("ca-cert.pem", ca.ToPem());
  Write("ca-key.pem", root_key.ToPem());
  Write("root-cert.pem", root.ToPem());
  EXPECT_THAT(problem(), HasSubstr("is not the key of"));
  Write("ca-key.pem", ca_key.ToPem());
  EXPECT_EQ(problem(), "");
  Write("root-cert.pem", MakeCa(ca_key, nullptr, nullptr).ToPem());
  EXPECT_THAT(problem(), HasSubstr("does not lead to"));
  clock_.Advance(std::chrono::hours(50));
  EXPECT_THAT(problem(), HasSubstr("has expired"));
}

}  // namespace
}  // namespace meltemi::citadel
