// SPDX-License-Identifier: Apache-2.0
// Exchanges between streams in memory: forwarding, local replies, retries, timeouts, back-pressure.
#include "proxy/http/exchange.h"

#include <gtest/gtest.h>

#include "proxy/http/http_date.h"
#include "proxy/http/mirror.h"
#include "proxy/http/testing/fakes.h"

namespace meltemi::proxy {
namespace {

using testing::FakeClientStream;
using testing::FakeServerStream;
using testing::FakeWorker;

struct LogRecord {
  int status = 0;
  std::string flags, details;
};

class CapturedLog final : public AccessLog {
 public:
  void Write(const StreamInfo& info) const override {
    records.push_back(
        {info.status, std::string(info.flags.Short(*info.arena)), std::string(info.details)});
  }
  const std::vector<std::string>& response_headers() const override { return none_; }
  mutable std::vector<LogRecord> records;

 private:
  std::vector<std::string> none_;
};

class ExchangeTest : public ::testing::Test, protected ExchangeOwner {
 protected:
  ExchangeTest() {
    options_.access_logs.push_back(log_);
    options_.stream_idle_timeout = Duration(0);
    facts_.remote = net::Address::Ipv4(0x0a000009, 1234);
    route_.path.text = "/";
    routing::ForwardAction action;
    action.cluster = {"c", 0};
    action.timeout = Duration(0);
    route_.action = action;
  }
  routing::ForwardAction& action() { return std::get<routing::ForwardAction>(route_.action); }
  void RetryOn(std::string_view conditions, uint32_t retries) {
    routing::RetryPolicy policy = *routing::ParseRetryOn(conditions);
    policy.retries_max = retries;
    policy.backoff_base = std::chrono::milliseconds(1);
    policy.avoids_previous_hosts = true;
    policy.per_try_timeout = per_try_;
    action().retry = std::make_shared<const routing::RetryPolicy>(policy);
  }

  void Begin(bool end_stream) {
    routing::VirtualHost host;
    host.name = "h";
    host.domains = {"*"};
    host.adds_attempt_count = true;
    if (has_route_) host.routes = {route_};
    auto pin = std::make_shared<RoutePin>();
    pin->routes = std::make_shared<const HttpRoutes>(*routing::RouteTable::Build({}, {host}));
    pin_ = pin;
    down_.has_ended = end_stream;
    exchange_.Begin(*this, down_);
    down_.callbacks->OnHead(end_stream);
  }
  void RunFor(Duration time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      worker_.loop().RunOnce(std::chrono::milliseconds(2));
    }
  }
  // Runs the loop until another try was opened.
  void RunUntilTries(size_t tries) {
    for (int i = 0; i < 1000 && up().avoided.size() < tries; ++i) {
      worker_.loop().RunOnce(std::chrono::milliseconds(5));
    }
    ASSERT_EQ(up().avoided.size(), tries);
  }
  void FinishBoth() {
    up().last().callbacks->OnFinished();
    down_.callbacks->OnFinished();
  }
  testing::FakeUpstreams& up() { return worker_.fake_upstreams; }

  // ExchangeOwner
  const HttpOptions& options() const override { return options_; }
  const DownstreamFacts& downstream() override { return facts_; }
  const std::shared_ptr<const RoutePin>& pin() override { return pin_; }
  HttpDate& date() override { return date_; }
  HttpStats& stats() override { return stats_; }
  bool ShedsRequest() override { return false; }
  void OnExchangeOver(Exchange&) override { ++over_; }
  void EndWithResponse() override {}
  std::shared_ptr<MirrorStream> StartMirror(const StreamInfo& info, const routing::Mirror& mirror,
                                            bool end_stream) override {
    mirror_ = std::make_shared<MirrorStream>(worker_, [](MirrorStream&) {});
    mirror_->Start(info, mirror, end_stream);
    return mirror_;
  }

  FakeWorker worker_;
  HttpOptions options_;
  std::shared_ptr<CapturedLog> log_ = std::make_shared<CapturedLog>();
  DownstreamFacts facts_;
  HttpDate date_;
  HttpStats stats_{nullptr, nullptr, ""};
  std::shared_ptr<const RoutePin> pin_;
  routing::Route route_;
  bool has_route_ = true;
  Duration per_try_{0};
  int over_ = 0;
  FakeServerStream down_;
  std::shared_ptr<MirrorStream> mirror_;
  Exchange exchange_{worker_};
};

TEST_F(ExchangeTest, ForwardsHeadsBodiesAndTrailers) {
  down_.head.method = "POST";
  Begin(false);
  FakeClientStream& upstream = up().last();
  EXPECT_EQ(upstream.method, "POST");
  EXPECT_EQ(upstream.Header("x-forwarded-proto"), "http");
  EXPECT_EQ(upstream.Header("x-request-id").size(), 36U);
  EXPECT_EQ(upstream.Header("x-envoy-attempt-count"), "1");
  EXPECT_FALSE(upstream.is_sent_ended);
  down_.Receive("question", true);
  EXPECT_EQ(upstream.sent, "question");
  EXPECT_TRUE(upstream.is_sent_ended);
  upstream.Respond(200, false);
  EXPECT_EQ(down_.status, 200);
  EXPECT_EQ(down_.Header("server"), "envoy");
  EXPECT_NE(down_.Header("x-envoy-upstream-service-time"), "");
  upstream.received_trailers = std::make_unique<http::HeaderMap>(upstream.arena_);
  upstream.received_trailers->Add(http::HeaderId::kGrpcStatus, "0");
  upstream.Receive("answer", true);
  EXPECT_EQ(down_.sent, "answer");
  EXPECT_EQ(down_.sent_trailers, "grpc-status=0;");
  FinishBoth();
  EXPECT_EQ(over_, 1);
  ASSERT_EQ(log_->records.size(), 1U);
  EXPECT_EQ(log_->records[0].details, "via_upstream");
  EXPECT_EQ(log_->records[0].flags, "-");
  EXPECT_EQ(up().host.active, 0);
}

TEST_F(ExchangeTest, SlowReceiversStopSenders) {
  Begin(false);
  FakeClientStream& upstream = up().last();
  upstream.room = 3;
  down_.Receive("abcdef", true);
  EXPECT_EQ(upstream.sent, "abc");
  EXPECT_EQ(down_.received, "def")
      << "what the upstream cannot take stays with the client's stream";
  upstream.room = 100;
  upstream.callbacks->OnWritable();
  EXPECT_EQ(upstream.sent, "abcdef");
  EXPECT_TRUE(upstream.is_sent_ended);
  upstream.Respond(200, false);
  down_.room = 2;
  upstream.Receive("wxyz", true);
  EXPECT_EQ(down_.sent, "wx");
  EXPECT_EQ(upstream.received, "yz");
  down_.room = 100;
  down_.callbacks->OnWritable();
  EXPECT_EQ(down_.sent, "wxyz");
  EXPECT_TRUE(down_.is_sent_ended);
}

TEST_F(ExchangeTest, NoRouteIs404WithoutBody) {
  has_route_ = false;
  Begin(true);
  EXPECT_EQ(down_.status, 404);
  EXPECT_EQ(down_.sent, "");
  EXPECT_TRUE(down_.is_sent_ended);
  down_.callbacks->OnFinished();
  EXPECT_EQ(log_->records.at(0).flags, "NR");
  EXPECT_EQ(log_->records.at(0).details, "route_not_found");
  EXPECT_EQ(over_, 1);
}

TEST_F(ExchangeTest, UnknownClusterIs503NC) {
  action().cluster = {"gone", 7};
  Begin(true);
  EXPECT_EQ(down_.status, 503);
  down_.callbacks->OnFinished();
  EXPECT_EQ(log_->records.at(0).flags, "NC");
}

TEST_F(ExchangeTest, GrpcClientsGetLocalRepliesAsGrpc) {
  up().failures = {OpenFailure::kNoHealthyHost};
  down_.head.headers.Add(http::HeaderId::kContentType, "application/grpc+proto");
  Begin(true);
  EXPECT_EQ(down_.status, 200);
  EXPECT_EQ(down_.Header("grpc-status"), "14");
  EXPECT_EQ(down_.Header("grpc-message"), "no healthy upstream");
  EXPECT_EQ(down_.sent, "");
}

TEST_F(ExchangeTest, ConnectFailureNamesItsReason) {
  up().failures = {OpenFailure::kConnectFailed};
  up().detail = "delayed connect error: 111";
  Begin(true);
  EXPECT_EQ(down_.status, 503);
  EXPECT_EQ(down_.sent,
            "upstream connect error or disconnect/reset before headers. reset reason: remote "
            "connection failure");
  down_.callbacks->OnFinished();
  EXPECT_EQ(log_->records.at(0).flags, "UF");
  EXPECT_EQ(
      log_->records.at(0).details,
      "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:"
      "_111}");
}

TEST_F(ExchangeTest, RetriesWithTheWholeBodyOnAnotherHost) {
  RetryOn("connect-failure,retriable-status-codes,503", 2);
  down_.head.method = "POST";
  Begin(false);
  down_.Receive("first ", false);
  down_.Receive("second", true);
  EXPECT_EQ(up().last().sent, "first second");
  up().last().Respond(503, true);
  EXPECT_EQ(down_.status, 0) << "the failed try is not shown";
  up().last().callbacks->OnFinished();
  RunUntilTries(2);
  FakeClientStream& second = up().last();
  EXPECT_EQ(up().avoided, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(second.sent, "first second");
  EXPECT_TRUE(second.is_sent_ended);
  EXPECT_EQ(second.Header("x-envoy-attempt-count"), "2");
  second.Respond(200, true);
  EXPECT_EQ(down_.status, 200);
  EXPECT_EQ(up().retries_active, 0);
  FinishBoth();
  EXPECT_EQ(log_->records.at(0).flags, "-");
}

TEST_F(ExchangeTest, ExhaustedRetriesShowTheLastAnswerAndURX) {
  RetryOn("5xx", 1);
  Begin(true);
  up().last().Respond(500, true);
  up().last().callbacks->OnFinished();
  RunUntilTries(2);
  up().last().Respond(500, true);
  EXPECT_EQ(down_.status, 500);
  FinishBoth();
  EXPECT_EQ(log_->records.at(0).flags, "URX");
}

TEST_F(ExchangeTest, TheClustersRetryLimitHolds) {
  RetryOn("5xx", 5);
  up().retries_allowed = 0;
  Begin(true);
  up().last().Respond(500, true);
  EXPECT_EQ(down_.status, 500);
  FinishBoth();
  EXPECT_EQ(log_->records.at(0).flags, "UO");
}

TEST_F(ExchangeTest, ResetsAreNotRetriedWhenOnlyConnectFailuresAre) {
  RetryOn("connect-failure", 2);
  Begin(true);
  up().last().callbacks->OnReset(http::ResetReason::kConnectionClosed);
  EXPECT_EQ(down_.status, 503);
  down_.callbacks->OnFinished();
  EXPECT_EQ(log_->records.at(0).flags, "UC");
  EXPECT_EQ(up().host.reports, std::vector<int>{0});
}

TEST_F(ExchangeTest, ResetAfterTheHeadResetsTheClient) {
  Begin(true);
  up().last().Respond(200, false);
  up().last().Receive("part", false);
  up().last().callbacks->OnReset(http::ResetReason::kRemoteReset);
  EXPECT_TRUE(down_.is_reset);
  EXPECT_EQ(log_->records.at(0).details, "upstream_reset_after_response_started{remote_reset}");
  EXPECT_EQ(over_, 1);
}

TEST_F(ExchangeTest, RouteTimeoutIs504) {
  action().timeout = std::chrono::milliseconds(20);
  Begin(true);
  EXPECT_EQ(up().last().Header("x-envoy-expected-rq-timeout-ms"), "20");
  RunFor(std::chrono::milliseconds(60));
  EXPECT_EQ(down_.status, 504);
  EXPECT_EQ(down_.sent, "upstream request timeout");
  EXPECT_TRUE(up().last().is_reset);
  down_.callbacks->OnFinished();
  EXPECT_EQ(log_->records.at(0).flags, "UT");
  EXPECT_EQ(log_->records.at(0).details, "response_timeout");
}

TEST_F(ExchangeTest, PerTryTimeoutTriesAgain) {
  per_try_ = std::chrono::milliseconds(10);
  RetryOn("5xx", 1);
  Begin(true);
  RunUntilTries(2);
  EXPECT_TRUE(up().streams[0]->is_reset);
  up().last().Respond(200, true);
  EXPECT_EQ(down_.status, 200);
}

TEST_F(ExchangeTest, ClientLeavingFreesTheUpstream) {
  Begin(true);
  down_.callbacks->OnReset(http::ResetReason::kConnectionClosed);
  EXPECT_TRUE(up().last().is_reset);
  EXPECT_EQ(up().host.active, 0);
  EXPECT_EQ(log_->records.at(0).flags, "DC");
  EXPECT_EQ(log_->records.at(0).status, 0);
  EXPECT_EQ(over_, 1);
}

TEST_F(ExchangeTest, EarlyAnswersLetTheClientFinish) {
  Begin(false);
  down_.Receive("some", false);
  up().last().Respond(413, true);
  EXPECT_TRUE(down_.is_sent_ended);
  EXPECT_TRUE(up().last().is_reset) << "the upstream need not hear the rest";
  down_.Receive("rest", true);
  EXPECT_EQ(down_.received, "");
  down_.callbacks->OnFinished();
  EXPECT_EQ(over_, 1);
}

TEST_F(ExchangeTest, IsReusableAndForgetsTheLastRequest) {
  for (int i = 0; i < 3; ++i) {
    FakeServerStream down;
    down.has_ended = true;
    if (i == 0) Begin(true);
    if (i == 0) {
      up().last().Respond(200, true);
      FinishBoth();
      continue;
    }
    exchange_.Begin(*this, down);
    down.callbacks->OnHead(true);
    EXPECT_EQ(up().last().Header("x-envoy-attempt-count"), "1");
    up().last().Respond(200, true);
    EXPECT_EQ(down.status, 200);
    up().last().callbacks->OnFinished();
    down.callbacks->OnFinished();
    EXPECT_EQ(over_, i + 1);
  }
}

TEST_F(ExchangeTest, MirrorsACopyUnderAShadowName) {
  routing::Mirror mirror;
  mirror.cluster = {"c", 0};
  action().mirrors = {mirror};
  down_.head.authority = "a.example:80";
  down_.head.method = "POST";
  Begin(false);
  ASSERT_EQ(up().streams.size(), 2U);
  FakeClientStream& copy = *up().streams[0];
  EXPECT_EQ(copy.authority, "a.example-shadow:80");
  down_.Receive("body", true);
  EXPECT_EQ(copy.sent, "body");
  EXPECT_TRUE(copy.is_sent_ended);
  EXPECT_EQ(up().streams[1]->sent, "body");
  copy.callbacks->OnReset(http::ResetReason::kRemoteReset);
  up().last().Respond(200, true);
  EXPECT_EQ(down_.status, 200) << "a mirror's fate is of no consequence";
}

TEST_F(ExchangeTest, RedirectsAndDirectResponses) {
  routing::RedirectAction redirect;
  redirect.scheme = "https";
  route_.action = redirect;
  down_.head.authority = "a.example:80";
  down_.head.path = "/x?y";
  Begin(true);
  EXPECT_EQ(down_.status, 301);
  EXPECT_EQ(down_.Header("location"), "https://a.example/x?y");
}

TEST_F(ExchangeTest, UpgradesAreRefusedUnlessAllowed) {
  down_.head.upgrade = "websocket";
  Begin(true);
  EXPECT_EQ(down_.status, 403);
}

TEST_F(ExchangeTest, AllowedUpgradesBecomeTunnels) {
  options_.upgrades = {{"websocket", true}};
  down_.head.upgrade = "WebSocket";
  Begin(false);
  up().last().Respond(101, false);
  EXPECT_EQ(down_.status, 101);
  down_.Receive("frame", false);
  EXPECT_EQ(up().last().sent, "frame");
  up().last().Receive("answer", false);
  EXPECT_EQ(down_.sent, "answer");
}

TEST_F(ExchangeTest, ContinueIsTheUpstreamsToGive) {
  options_.proxies_continue = true;
  down_.head.expects_continue = true;
  Begin(false);
  EXPECT_EQ(down_.continues, 0);
  http::ResponseHead head(down_.arena());
  head.status = 100;
  up().last().callbacks->OnInformational(head);
  EXPECT_EQ(down_.continues, 1);
}

}  // namespace
}  // namespace meltemi::proxy
