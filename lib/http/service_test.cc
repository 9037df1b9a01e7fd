// SPDX-License-Identifier: Apache-2.0
#include "lib/http/service.h"

#include <gtest/gtest.h>

#include <optional>

#include "lib/tls/testing/certificates.h"

namespace meltemi::http {
namespace {

class ServiceTest : public ::testing::Test {
 protected:
  void Listen(ServiceHandler handler, ServiceOptions options = {}) {
    auto service = Service::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", 0),
                                   std::move(handler), std::move(options));
    ASSERT_TRUE(service.ok()) << service.status().ToString();
    service_ = *std::move(service);
  }
  StatusOr<ClientResponse> Get(ClientRequest request, ClientOptions options = {}) {
    std::optional<StatusOr<ClientResponse>> result;
    auto call = Fetch(
        *loop_, service_->address(), std::move(request),
        [&](StatusOr<ClientResponse> response) { result = std::move(response); }, options);
    RunUntil([&] { return result.has_value(); });
    return *std::move(result);
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 50'000 && !done(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(done());
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<Service> service_;
};

TEST_F(ServiceTest, AnswersWholeRequests) {
  Listen([](ServiceRequest request, std::shared_ptr<Responder> responder) {
    EXPECT_EQ("/a b", request.path);
    EXPECT_EQ("1 2", request.Query("x"));
    EXPECT_EQ("none", request.Query("y", "none"));
    EXPECT_EQ("v", request.Header("x-test"));
    responder->Send(
        {.status = 201, .body = request.method + request.body, .headers = {{"x-a", "b"}}});
  });
  const auto response = Get({.method = "POST",
                             .path = "/a%20b?x=1+2&z",
                             .headers = {{"x-test", "v"}},
                             .body = std::string(300'000, 'q')});
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(201, response->status);
  EXPECT_EQ("POST" + std::string(300'000, 'q'), response->body);
  EXPECT_EQ("b", response->headers.find("x-a")->second);
}

TEST_F(ServiceTest, AnswersLater) {
  std::shared_ptr<Responder> waiting;
  Listen([&](ServiceRequest, std::shared_ptr<Responder> responder) {
    waiting = std::move(responder);
    loop_->Post([&] { waiting->Send({.body = "later"}); });
  });
  EXPECT_EQ("later", Get({})->body);
}

TEST_F(ServiceTest, RefusesLargeBodies) {
  Listen([](ServiceRequest, std::shared_ptr<Responder> r) { r->Send({}); }, {.body_bytes_max = 10});
  EXPECT_EQ(413, Get({.method = "PUT", .body = "more than ten bytes"})->status);
}

TEST_F(ServiceTest, StreamsAndLearnsOfTheEnd) {
  std::shared_ptr<Responder> responder;
  bool is_cancelled = false;
  Listen([&](ServiceRequest, std::shared_ptr<Responder> r) {
    responder = std::move(r);
    responder->OnCancelled([&] { is_cancelled = true; });
    responder->StartStream({.content_type = "application/json"});
    EXPECT_TRUE(responder->SendChunk("one\n"));
  });
  std::string got;
  int status = 0;
  auto call = FetchStream(*loop_, service_->address(), {},
                          {.on_head = [&](int s) { status = s; },
                           .on_chunk = [&](std::string_view bytes) { got.append(bytes); },
                           .on_end = [](Status) { FAIL() << "nobody ended it"; }},
                          {.timeout = Duration(0)});
  RunUntil([&] { return got == "one\n"; });
  EXPECT_TRUE(responder->SendChunk("two\n"));
  RunUntil([&] { return got == "one\ntwo\n"; });
  EXPECT_EQ(200, status);
  call.reset();
  RunUntil([&] { return is_cancelled; });
  EXPECT_FALSE(responder->SendChunk("three"));
}

TEST_F(ServiceTest, CutsAStreamWhoseBacklogGrows) {
  std::shared_ptr<Responder> responder;
  Listen(
      [&](ServiceRequest, std::shared_ptr<Responder> r) {
        responder = std::move(r);
        responder->StartStream({});
      },
      {.stream_backlog_bytes_max = 1000});
  bool ended = false;
  auto call =
      FetchStream(*loop_, service_->address(), {}, {.on_end = [&](Status) { ended = true; }});
  RunUntil([&] { return responder != nullptr; });
  EXPECT_FALSE(responder->SendChunk(std::string(1'000'000, 'x')));
  RunUntil([&] { return ended; });
}

TEST_F(ServiceTest, TellsWhyThereIsNoAnswer) {
  Listen([](ServiceRequest, std::shared_ptr<Responder>) {});
  EXPECT_EQ(absl::StatusCode::kDeadlineExceeded,
            Get({}, {.timeout = std::chrono::milliseconds(20)}).status().code());
  auto address = service_->address();
  service_.reset();
  std::optional<Status> status;
  auto call = Fetch(*loop_, address, {}, [&](StatusOr<ClientResponse> r) { status = r.status(); });
  RunUntil([&] { return status.has_value(); });
  EXPECT_EQ(absl::StatusCode::kUnavailable, status->code());
}

TEST_F(ServiceTest, ServesTls) {
  const tls::testing::CertificateAuthority authority;
  tls::ServerSettings server;
  server.certificates.push_back(authority.Issue());
  server.client_certificate = tls::ClientCertificate::kRequired;
  server.verification.trusted_pem.push_back(authority.pem());
  server.alpn = {"h2", "http/1.1"};
  tls::ClientSettings client;
  client.certificate = authority.Issue({.san = "URI:spiffe://cluster.local/ns/a/sa/b"});
  client.verification.trusted_pem.push_back(authority.pem());
  Listen([](ServiceRequest request,
            std::shared_ptr<Responder> r) { r->Send({.body = request.peer_uri_san}); },
         {.tls = *tls::ServerContext::Build(server)});
  const auto response = Get({}, {.tls = *tls::ClientContext::Build(client)});
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ("spiffe://cluster.local/ns/a/sa/b", response->body);
}

}  // namespace
}  // namespace meltemi::http
