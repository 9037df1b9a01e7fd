// SPDX-License-Identifier: Apache-2.0
// A control plane inside a test: signs certificates and serves discovery on one TLS port, on the
// test's own loop.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/istio_ca.pb.h"
#include "lib/grpc/server.h"
#include "lib/identity/certificate.h"
#include "lib/identity/spiffe_id.h"
#include "lib/xds/server.h"
#include "lib/xds/testing/fake_source.h"

namespace meltemi::proxy::testing {

class FakeControlPlane final {
 public:
  static constexpr char kToken[] = "secret-token";

  explicit FakeControlPlane(runtime::Loop& loop) : loop_(loop) {
    now_ = RealClock().Wall();
    identity::IssueSpec spec;
    spec.organization = "cluster.local";
    spec.not_before = now_ - std::chrono::hours(1);
    spec.not_after = now_ + std::chrono::hours(1);
    spec.is_ca = true;
    root_ = std::make_unique<identity::Certificate>(*identity::SelfSign(key_, spec));
    xds::AdsOptions options;
    options.admit = [this](const grpc::PeerInfo& peer,
                           const xds::NodeInfo&) -> StatusOr<std::string> {
      const auto token = peer.metadata.find("authorization");
      tokens_.push_back(token == peer.metadata.end() ? "" : token->second);
      peers_.push_back(peer.uri_san);
      return peer.uri_san;
    };
    ads_ = std::make_unique<xds::AdsServer>(source_, RealClock(), std::move(options));
  }

  void Listen(const std::string& server_name = "istiod.istio-system.svc", uint16_t port = 0) {
    grpc::MethodTable methods = ads_->Methods();
    methods["/istio.v1.auth.IstioCertificateService/CreateCertificate"] =
        [this](grpc::ServerCall& call) { return std::make_unique<Signing>(*this, call); };
    const identity::PrivateKey key = *identity::PrivateKey::Generate();
    tls::ServerSettings settings;
    settings.certificates = {
        {Issue(key.public_key(), {.uris = {}, .dns = {server_name}, .ips = {}}), key.ToPem()}};
    settings.client_certificate = tls::ClientCertificate::kOptional;
    settings.verification.trusted_pem = {root_->ToPem()};
    settings.alpn = {"h2"};
    grpc::ServerOptions options;
    options.tls = *tls::ServerContext::Build(settings);
    auto server = grpc::Server::Listen(loop_, *net::Address::ParseIp("127.0.0.1", port),
                                       std::move(methods), std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void Stop() { server_.reset(); }
  const net::Address& address() const { return server_->address(); }
  std::string root_pem() const { return root_->ToPem(); }

  std::string Issue(const identity::PublicKey& key, const identity::AltNames& names) {
    identity::IssueSpec spec;
    spec.names = names;
    spec.not_before = now_ - std::chrono::seconds(10);
    spec.not_after = RealClock().Wall() + lifetime_;
    return identity::Issue(*root_, key_, key, spec)->ToPem();
  }

  xds::FakeSource source_;
  std::chrono::milliseconds lifetime_ = std::chrono::minutes(30);
  std::vector<std::string> tokens_, peers_;  // of discovery streams
  std::vector<std::string> csrs_;
  int refusals_ = 0;  // so many requests for certificates are refused first

 private:
  class Signing final : public grpc::CallHandler {
   public:
    Signing(FakeControlPlane& plane, grpc::ServerCall& call) : plane_(plane), call_(call) {}
    void OnMessage(std::string_view message) override {
      istio::v1::auth::IstioCertificateRequest request;
      EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
      const auto token = call_.peer().metadata.find("authorization");
      const bool is_known =
          token != call_.peer().metadata.end() && token->second == std::string("Bearer ") + kToken;
      if (plane_.refusals_ > 0) {
        --plane_.refusals_;
        return call_.Finish({14, "come back later"});
      }
      if (!is_known) return call_.Finish({16, "unknown token"});
      plane_.csrs_.push_back(request.csr());
      istio::v1::auth::IstioCertificateResponse response;
      response.add_cert_chain(
          plane_.Issue(*identity::ReadCsr(request.csr()),
                       {.uris = {"spiffe://cluster.local/ns/shop/sa/cart"}, .dns = {}, .ips = {}}));
      response.add_cert_chain(plane_.root_pem());
      call_.Send(response.SerializeAsString());
      call_.Finish({0, ""});
    }
    void OnEnd() override {}

   private:
    FakeControlPlane& plane_;
    grpc::ServerCall& call_;
  };

  runtime::Loop& loop_;
  WallTime now_;
  const identity::PrivateKey key_ = *identity::PrivateKey::Generate();
  std::unique_ptr<identity::Certificate> root_;
  std::unique_ptr<xds::AdsServer> ads_;
  std::unique_ptr<grpc::Server> server_;
};

// A folder that goes with its files.
class Folder final {
 public:
  Folder() {
    char name[] = "/tmp/meltemi-agent-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~Folder() {
    for (const std::string& file : files_) ::unlink(file.c_str());
    ::rmdir(path_.c_str());
  }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string file = path_ + "/" + name;
    std::ofstream(file) << text;
    files_.push_back(file);
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

}  // namespace meltemi::proxy::testing
