// SPDX-License-Identifier: Apache-2.0
// The agent's parts that need no sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/nds.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "lib/identity/certificate.h"
#include "lib/net/listener_socket.h"
#include "proxy/agent/file_secrets.h"
#include "proxy/agent/gateway_sockets.h"
#include "proxy/agent/names.h"
#include "proxy/agent/node.h"
#include "proxy/agent/secrets.h"
#include "proxy/agent/testing/fake_control_plane.h"
#include "proxy/agent/text_file.h"
#include "proxy/config/tls_compiler.h"

namespace meltemi::proxy {
namespace {

using testing::Folder;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Node, IsWrittenAsIstioWritesIt) {
  WorkloadOptions options;
  options.name = "reviews-v1-5d4f7c6bbc-x7k2p";
  options.ns = "books";
  options.service_account = "reviews";
  options.ip = "127.77.0.5";
  options.labels = {{"app", "reviews"}, {"version", "v1"}};
  options.process.concurrency = 2;
  options.capture_path = "/run/x.sock";
  const NodeIdentity node = MakeNode(options);
  EXPECT_EQ(node.id,
            "sidecar~127.77.0.5~reviews-v1-5d4f7c6bbc-x7k2p.books~books.svc.cluster.local");
  EXPECT_EQ(node.cluster, "reviews.books");
  const auto metadata = nlohmann::json::parse(node.metadata_json, nullptr, false);
  EXPECT_EQ(metadata["WORKLOAD_NAME"], "reviews-v1");
  EXPECT_EQ(metadata["NAMESPACE"], "books");
  EXPECT_EQ(metadata["SERVICE_ACCOUNT"], "reviews");
  EXPECT_EQ(metadata["LABELS"]["version"], "v1");
  EXPECT_EQ(metadata["MESH_ID"], "cluster.local");
  EXPECT_EQ(metadata["CLUSTER_ID"], "Kubernetes");
  EXPECT_EQ(metadata["INSTANCE_IPS"], "127.77.0.5");
  EXPECT_EQ(metadata["DNS_CAPTURE"], "true");
  EXPECT_EQ(metadata["PROXY_CONFIG"]["concurrency"], 2);
  envoy::config::core::v3::Node message;
  ASSERT_TRUE(message.ParseFromString(node.serialized));
  EXPECT_EQ(message.id(), node.id);
  EXPECT_EQ(message.metadata().fields().at("NAME").string_value(), options.name);

  options.is_gateway = true;
  EXPECT_THAT(MakeNode(options).metadata_json, Not(HasSubstr("INTERCEPTION_MODE")));
}

TEST(Node, WorkloadNameLosesOnlyGeneratedParts) {
  EXPECT_EQ(WorkloadName("reviews-v1-5d4f7c6bbc-x7k2p"), "reviews-v1");
  EXPECT_EQ(WorkloadName("istio-ingressgateway-5d4f7c6bbc-local"), "istio-ingressgateway");
  EXPECT_EQ(WorkloadName("web-0"), "web-0");
  EXPECT_EQ(WorkloadName("client-1"), "client-1");
  EXPECT_EQ(WorkloadName("a-b-c"), "a-b-c");
  EXPECT_EQ(WorkloadName("plain"), "plain");
  EXPECT_EQ(WorkloadName(""), "");
}

TEST(Token, IsTrimmedAndJudgedAndNeverShown) {
  Folder folder;
  EXPECT_EQ(*ReadToken(folder.Write("good", " abc.def \n")), "abc.def");
  EXPECT_THAT(std::string(ReadToken(folder.Write("empty", "\n")).status().message()),
              HasSubstr("empty"));
  const auto bad = ReadToken(folder.Write("bad", "abc\r\nx-evil: 1"));
  EXPECT_FALSE(bad.ok());
  EXPECT_THAT(std::string(bad.status().message()), Not(HasSubstr("evil")));
  EXPECT_THAT(std::string(ReadToken(folder.path() + "/none").status().message()),
              HasSubstr("none: No such file"));
}

class Answer : public ::testing::Test {
 protected:
  Answer() {
    spec_.not_before = now_ - std::chrono::hours(1);
    spec_.not_after = now_ + std::chrono::hours(3);
    spec_.is_ca = true;
    root_ = std::make_unique<identity::Certificate>(*identity::SelfSign(root_key_, spec_));
    spec_.is_ca = false;
    spec_.names.uris = {"spiffe://cluster.local/ns/a/sa/b"};
  }
  std::string Leaf(const identity::PrivateKey& key) {
    return identity::Issue(*root_, root_key_, key.public_key(), spec_)->ToPem();
  }
  const WallTime now_ =
      std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  const identity::PrivateKey root_key_ = *identity::PrivateKey::Generate();
  const identity::PrivateKey key_ = *identity::PrivateKey::Generate();
  identity::IssueSpec spec_;
  std::unique_ptr<identity::Certificate> root_;
};

TEST_F(Answer, RootIsTakenOffTheChain) {
  const auto issued = ReadAnswer({Leaf(key_), root_->ToPem()}, key_, "file", now_);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_EQ(identity::Certificate::ParseAll(issued->chain_pem)->size(), 1u);
  EXPECT_EQ(issued->root_pem, root_->ToPem());
  EXPECT_EQ(issued->identity, "spiffe://cluster.local/ns/a/sa/b");
  EXPECT_EQ(issued->not_after, spec_.not_after);
}

TEST_F(Answer, WithoutRootTheFilesRootsAreUsed) {
  EXPECT_EQ(ReadAnswer({Leaf(key_)}, key_, "file", now_)->root_pem, "file");
}

TEST_F(Answer, CertificateOfAnotherKeyOrTimeIsRefused) {
  const identity::PrivateKey other = *identity::PrivateKey::Generate();
  EXPECT_THAT(std::string(ReadAnswer({Leaf(other)}, key_, "", now_).status().message()),
              HasSubstr("another key"));
  EXPECT_THAT(
      std::string(
          ReadAnswer({Leaf(key_)}, key_, "", now_ + std::chrono::hours(4)).status().message()),
      HasSubstr("expired"));
  EXPECT_FALSE(ReadAnswer({}, key_, "", now_).ok());
  EXPECT_FALSE(ReadAnswer({"no PEM"}, key_, "", now_).ok());
}

TEST_F(Answer, IsRenewedWhenTheGraceRatioOfItsLifeIsLeft) {
  IssuedCertificate certificate;
  certificate.not_before = now_ - std::chrono::minutes(2);  // dated back: no part of its life
  certificate.not_after = now_ + std::chrono::seconds(10);
  const auto after = [&](double ratio, double random) {
    const Duration whole = RenewAfter(certificate, now_, ratio, random);
    return std::chrono::round<std::chrono::milliseconds>(whole).count();
  };
  EXPECT_EQ(after(0.5, 0), 4000);
  EXPECT_EQ(after(0.5, 0.5), 5000);
  EXPECT_EQ(after(0.5, 1), 6000);
  EXPECT_EQ(after(0.2, 0.5), 8000);
  EXPECT_EQ(after(0, 1), 10000) << "not after its end";
  EXPECT_EQ(after(1, 0), 1000) << "not at once, over and over";
}

TEST_F(Answer, SecretsAreWhatTheSinkReads) {
  const auto issued = ReadAnswer({Leaf(key_), root_->ToPem()}, key_, "", now_);
  const auto own = CompileSecret(CertificateSecret(kWorkloadSecret, *issued));
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->first, "default");
  EXPECT_EQ(own->second.certificate->chain_pem, issued->chain_pem);
  const auto roots = CompileSecret(ValidationSecret(kRootSecret, issued->root_pem));
  EXPECT_EQ(roots->first, "ROOTCA");
  EXPECT_TRUE(roots->second.validation.has_value());
  EXPECT_TRUE(IsLocalSecret("default"));
  EXPECT_FALSE(IsLocalSecret("kubernetes://web-certificate"));
}

TEST_F(Answer, PageOfCertificatesHasNamesAndTimesAndNoKey) {
  const auto issued = ReadAnswer({Leaf(key_), root_->ToPem()}, key_, "", now_);
  const std::string text = CertificatesJson(*issued, now_);
  EXPECT_THAT(text, Not(HasSubstr("PRIVATE")));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto& leaf = json["certificates"][0]["cert_chain"][0];
  EXPECT_EQ(leaf["subject_alt_names"][0]["uri"], "spiffe://cluster.local/ns/a/sa/b");
  EXPECT_EQ(leaf["days_until_expiration"], "0");
}

TEST(FileSecret, NamesAreIstios) {
  EXPECT_EQ(ParseFileSecret("file-cert:/c.pem~/k.pem")->certificate, "/c.pem");
  EXPECT_EQ(ParseFileSecret("file-cert:/c.pem~/k.pem")->key, "/k.pem");
  EXPECT_EQ(ParseFileSecret("file-root:/ca.pem")->certificate, "/ca.pem");
  EXPECT_EQ(ParseFileSecret("file-root:system")->certificate, "/etc/ssl/certs/ca-certificates.crt");
  for (const char* name : {"default", "kubernetes://a", "file-cert:", "file-cert:/c.pem",
                           "file-cert:/c.pem~", "file-cert:~/k.pem", "file-root:"})
    EXPECT_FALSE(ParseFileSecret(name).has_value()) << name;
}

struct SecretSink final : ConfigSink {
  std::vector<Rejection> Update(xds::Type type, const std::vector<ResourceUpdate>& changed,
                                const std::vector<std::string>&) override {
    EXPECT_EQ(type, xds::Type::kSecret);
    for (const ResourceUpdate& update : changed) given.emplace_back(update.name, update.message);
    return {};
  }
  void Commit(std::function<void()>) override { ++commits; }
  Wanted wanted() const override { return {}; }
  void OnWantedChanged(std::function<void()>) override {}
  bool is_warm() const override { return true; }

  std::vector<std::pair<std::string, std::string>> given;
  int commits = 0;
};

TEST(FileSecret, IsReadWhenWantedAndMissingFilesAreWaitedFor) {
  Folder folder;
  const auto loop = *runtime::Loop::Create();
  SecretSink sink;
  FileSecrets files(*loop, sink);
  const std::string roots = folder.Write("roots.pem", "ROOTS");
  files.Want(
      {{"default", {}}, {"file-root:" + roots, {}}, {"file-root:" + folder.path() + "/none", {}}});
  EXPECT_TRUE(sink.given.empty()) << "the sink was at work";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (sink.commits == 0 && std::chrono::steady_clock::now() < deadline)
    loop->RunOnce(std::chrono::milliseconds(10));
  ASSERT_EQ(sink.given.size(), 1u);
  EXPECT_EQ(sink.given[0].first, "file-root:" + roots);
  EXPECT_EQ(sink.given[0].second, ValidationSecret(sink.given[0].first, "ROOTS"));
}

Fd ListenOn(const char* ip, uint16_t& port) {
  auto socket = net::Listen(*net::Address::ParseIp(ip, 0));
  EXPECT_TRUE(socket.ok()) << socket.status();
  port = net::BoundAddress(socket->get())->port();
  return *std::move(socket);
}

TEST(GatewaySockets, SharePortsWithWorkloadsOnTheirOwnAddresses) {
  const auto sockets = NewGatewaySockets(*net::Address::ParseIp("127.77.200.1", 0));
  uint16_t port = 0;
  const Fd workload = ListenOn("127.77.200.2", port);
  ListenRequest request;
  request.listener_name = "gateway";
  request.address = net::Address::Ipv4(0, port);
  const auto addresses = sockets->Addresses(request);
  ASSERT_GE(addresses.size(), 2u);
  EXPECT_EQ(addresses.front().text(), "127.0.0.1:" + std::to_string(port));
  EXPECT_EQ(addresses.back().text(), "127.77.200.1:" + std::to_string(port));
  for (const net::Address& address : addresses)
    EXPECT_TRUE(sockets->Listen(request, address, 2).ok()) << address.text();
  request.address = *net::Address::ParseIp("127.0.0.1", port);
  EXPECT_EQ(sockets->Addresses(request).size(), 1u) << "asked for by name";
}

TEST(Names, TableIsReadForTheWorkloadsNamespace) {
  istio::networking::nds::v1::NameTable table;
  auto& info = (*table.mutable_table())["reviews.books.svc.cluster.local"];
  info.add_ips("240.240.0.7");
  info.set_shortname("reviews");
  info.set_namespace_("books");
  info.set_registry("Kubernetes");
  const auto names = ReadNameTable(table.SerializeAsString(), "books", "cluster.local");
  ASSERT_TRUE(names.ok());
  EXPECT_NE((*names)->Find("reviews.books.svc.cluster.local"), nullptr);
  EXPECT_NE((*names)->Find("reviews"), nullptr);
  EXPECT_EQ((*names)->Find("ratings"), nullptr);
  EXPECT_FALSE(ReadNameTable("\xff\xff\xff", "books", "cluster.local").ok());
}

TEST(Names, ResolversAreTheFirstThreeValidOnes) {
  const auto resolvers = ReadResolvers(
      "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.2\n nameserver  fd00::1 # two\n"
      "nameserver nonsense\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n");
  ASSERT_EQ(resolvers.size(), 3u);
  EXPECT_EQ(resolvers[0].text(), "10.0.0.2:53");
  EXPECT_EQ(resolvers[1].text(), "[fd00::1]:53");
  EXPECT_EQ(resolvers[2].text(), "10.0.0.3:53");
  EXPECT_TRUE(ReadResolvers("").empty());
}

}  // namespace
}  // namespace meltemi::proxy
