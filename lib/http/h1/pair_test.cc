// SPDX-License-Identifier: Apache-2.0
// Our client against our server, and against scripted servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/http/testing/exchange_pair.h"

namespace meltemi::http {
namespace {

using testing::ClientExchange;
using ::testing::HasSubstr;
using testing::ServerExchange;

class H1Pair : public ::testing::Test, protected testing::ExchangePair {};

TEST_F(H1Pair, ExchangesReuseTheConnection) {
  Make(Protocol::kHttp11);
  server_owner.on_request = [](ServerExchange& e) { e.Respond(200, e.path); };
  for (int i = 1; i <= 5; ++i) {
    ClientExchange e;
    ASSERT_TRUE(client->can_open());
    e.Open(*client);
    EXPECT_FALSE(client->can_open());
    e.Request("GET", "/x");
    RunUntil([&] { return e.finished; });
    EXPECT_EQ(200, e.status);
    EXPECT_EQ("/x", e.body);
    EXPECT_EQ(i, client_owner.available);
  }
}

class H1LargeBody : public ::testing::TestWithParam<bool>, protected testing::ExchangePair {};
INSTANTIATE_TEST_SUITE_P(KnownLengthOrChunked, H1LargeBody, ::testing::Bool());

TEST_P(H1LargeBody, StaysWithinLimitsWhenTheReaderIsSlow) {
  Make(Protocol::kHttp11);
  std::string text(5'000'000, 0);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  server_owner.is_slow = true;
  server_owner.on_request = [&](ServerExchange& e) {
    e.on_end = [&] { e.Respond(200, e.body, GetParam()); };
  };
  ClientExchange e;
  e.Open(*client);
  e.is_slow = true;
  e.Request("POST", "/", text, GetParam());
  Settle();
  // Socket buffers and ours hold a little; the rest waits in the sender.
  EXPECT_LT(e.sent_, 2'000'000u);
  RunUntil([&] {
    if (!server_owner.exchanges.empty()) {
      ServerExchange& s = *server_owner.exchanges[0];
      if (!s.ended) s.Read(5000);
    }
    return e.has_head;
  });
  RunUntil([&] {
    if (!e.finished) e.Read(7000);
    return e.finished;
  });
  EXPECT_TRUE(e.body == text);
  EXPECT_LE(e.peeked_max, 64u * 1024);
  EXPECT_LE(server_owner.exchanges[0]->peeked_max, 64u * 1024);
  EXPECT_TRUE(client->can_open());
}

class H1Client : public ::testing::Test, protected testing::ExchangePair {
 protected:
  void Start(std::string_view method = "GET") {
    MakeClient(Protocol::kHttp11);
    e.Open(*client);
    e.Request(method, "/p");
    RunUntil([&] { return received.ends_with("\r\n\r\n"); });
  }
  ClientExchange e;
};

TEST_F(H1Client, WritesOneHead) {
  Start();
  EXPECT_EQ("GET /p HTTP/1.1\r\nhost: test.local\r\n\r\n", received);
}

TEST_F(H1Client, PassesOnInterimAnswers) {
  Start();
  Write(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
  RunUntil([&] { return e.finished; });
  EXPECT_THAT(e.informational, ::testing::ElementsAre(100, 103));
  EXPECT_EQ(200, e.status);
  EXPECT_TRUE(e.headers.empty());
}

TEST_F(H1Client, ReadsUntilCloseWithoutFraming) {
  Start();
  Write("HTTP/1.0 200 OK\r\n\r\nabc");
  RunUntil([&] { return e.body == "abc"; });
  EXPECT_FALSE(e.finished);
  peer.Reset();
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_TRUE(e.finished);
}

TEST_F(H1Client, BodilessAnswersIgnoreTheLength) {
  Start("HEAD");
  Write("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
  RunUntil([&] { return e.finished; });
  EXPECT_TRUE(e.head_ended);
  EXPECT_TRUE(client->can_open());
}

TEST_F(H1Client, NeverReusesAConnectionWithBytesNobodyAskedFor) {
  Start();
  Write("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_TRUE(e.finished);
  EXPECT_EQ(0, client_owner.available);
}

TEST_F(H1Client, TellsClosedBeforeTheAnswerFromCutOff) {
  Start();
  peer.Reset();
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_EQ(ResetReason::kConnectionClosed, e.reset);
}

TEST_F(H1Client, CutOffBodyBreaksTheProtocol) {
  Start();
  Write("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabc");
  RunUntil([&] { return e.body == "abc"; });
  peer.Reset();
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_EQ(ResetReason::kProtocolError, e.reset);
  EXPECT_FALSE(e.finished);
}

TEST_F(H1Client, BadAnswersAreProtocolErrors) {
  for (const char* bytes :
       {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: 3\r\n\r\n"}) {
    H1Client_BadAnswersAreProtocolErrors_Test fresh;
    fresh.Start();
    fresh.Write(bytes);
    fresh.RunUntil([&] { return fresh.e.reset.has_value(); });
    EXPECT_EQ(ResetReason::kProtocolError, fresh.e.reset) << bytes;
    fresh.RunUntil([&] { return fresh.client_owner.closed.has_value(); });
  }
}

TEST_F(H1Client, UpgradeKeepsTheMethodButForExtendedConnect) {
  for (const auto& [method, sent] :
       {std::pair("GET", "GET /"), std::pair("POST", "POST /"), std::pair("CONNECT", "GET /")}) {
    H1Client_UpgradeKeepsTheMethodButForExtendedConnect_Test fresh;
    fresh.MakeClient(Protocol::kHttp11);
    fresh.e.Open(*fresh.client);
    RequestHead head(fresh.e.client->arena());
    head.method = method;
    head.path = "/";
    head.authority = "a";
    head.upgrade = "spdy/3.1";
    fresh.e.client->SendRequest(head, false);
    fresh.RunUntil([&] { return fresh.received.ends_with("\r\n\r\n"); });
    EXPECT_THAT(fresh.received, ::testing::StartsWith(sent));
  }
}

TEST_F(H1Client, RefusedUpgradeSendsNothingAndIsNotReused) {
  MakeClient(Protocol::kHttp11);
  e.Open(*client);
  RequestHead head(e.client->arena());
  head.method = "GET";
  head.path = "/";
  head.authority = "a";
  head.upgrade = "websocket";
  e.client->SendRequest(head, false);
  EXPECT_EQ(0u, e.client->SendBody("smuggled", false));
  RunUntil([&] { return received.ends_with("\r\n\r\n"); });
  EXPECT_THAT(received, HasSubstr("connection: upgrade\r\nupgrade: websocket\r\n"));
  Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_TRUE(e.finished);
  EXPECT_EQ("no", e.body);
  EXPECT_THAT(received, Not(HasSubstr("smuggled")));
}

TEST_F(H1Client, ConnectTunnels) {
  MakeClient(Protocol::kHttp11);
  e.Open(*client);
  RequestHead head(e.client->arena());
  head.method = "CONNECT";
  head.authority = "db:5432";
  e.client->SendRequest(head, false);
  RunUntil([&] { return received.ends_with("\r\n\r\n"); });
  EXPECT_THAT(received, HasSubstr("CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n"));
  Write("HTTP/1.1 200 OK\r\n\r\npong");
  RunUntil([&] { return e.body == "pong"; });
  EXPECT_EQ(4u, e.client->SendBody("ping", true));
  RunUntil([&] { return peer_ended; });
  EXPECT_TRUE(received.ends_with("ping"));
  peer.Reset();
  RunUntil([&] { return e.finished; });
}

TEST_F(H1Client, ResetClosesWithoutCallback) {
  Start();
  e.client->Reset(ResetReason::kLocal);
  RunUntil([&] { return client_owner.closed.has_value(); });
  EXPECT_FALSE(e.reset.has_value());
  EXPECT_FALSE(e.finished);
}

}  // namespace
}  // namespace meltemi::http
