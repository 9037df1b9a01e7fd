// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/server_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/http/testing/exchange_pair.h"

namespace meltemi::http::h1 {
namespace {

using ::testing::HasSubstr;
using testing::ServerExchange;
using ::testing::StartsWith;

class H1Server : public ::testing::Test, protected testing::ExchangePair {
 protected:
  void Start(const Limits& limits = {}) {
    MakeServer(Protocol::kHttp11, limits);
    server_owner.on_request = [](ServerExchange& e) { e.Respond(200, "hi"); };
  }
};

TEST_F(H1Server, AnswersAndKeepsTheConnection) {
  Start();
  for (int i = 1; i <= 3; ++i) {
    received.clear();
    Write("GET /a?b HTTP/1.1\r\nHost: x.y\r\nX-Foo:  Bar \r\n\r\n");
    RunUntil([&] { return received.ends_with("hi"); });
    EXPECT_EQ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", received);
    const ServerExchange& e = *server_owner.exchanges.back();
    EXPECT_EQ("/a?b", e.path);
    EXPECT_EQ("x.y", e.authority);
    ASSERT_EQ(1u, e.headers.size());
    EXPECT_EQ("x-foo", e.headers[0].first);
    EXPECT_EQ("Bar", e.headers[0].second);
    EXPECT_TRUE(e.finished);
  }
  EXPECT_FALSE(server_owner.closed);
  EXPECT_EQ(0u, pool.blocks_in_use());
}

TEST_F(H1Server, AnswersPipelinedRequestsInOrder) {
  Start();
  server_owner.on_request = [](ServerExchange& e) { e.Respond(200, e.path); };
  std::string all;
  for (int i = 0; i < 300; ++i) {
    all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nhost: a\r\n\r\n";
  }
  Write(all);
  RunUntil([&] { return server_owner.exchanges.size() == 300 && received.ends_with("/299"); });
  EXPECT_LT(received.find("/7HTTP"), received.find("/299"));
}

TEST_F(H1Server, TakesHeadsByteByByte) {
  Start();
  for (const char c :
       std::string_view("\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nT: 1\r\nHost: b\r\n\r\n")) {
    Write({&c, 1});
    Settle();
  }
  const ServerExchange& e = *server_owner.exchanges.at(0);
  EXPECT_THAT(received, HasSubstr("hi"));
  EXPECT_EQ("POST", e.method);
}

TEST_F(H1Server, DecodesChunksAndTrailers) {
  Start({.http1 = {.has_trailers = true}});
  server_owner.on_request = [](ServerExchange& e) {
    e.on_end = [&e] { e.Respond(200, e.body, false); };
  };
  Write(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3;x=\"y\"\r\nabc\r\n02\r\nde\r\n0\r\nT: 1\r\nContent-Length: 5\r\n\r\n");
  RunUntil([&] { return received.ends_with("0\r\n\r\n"); });
  EXPECT_EQ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
            received);
  const ServerExchange& e = *server_owner.exchanges.at(0);
  ASSERT_EQ(1u, e.trailers.size());
  EXPECT_EQ("t", e.trailers[0].first);
}

TEST_F(H1Server, DropsTrailersUnlessToldToKeepThem) {
  Start();
  server_owner.on_request = [](ServerExchange& e) {
    e.on_end = [&e] {
      ResponseHead head(e.server->arena());
      head.status = 200;
      HeaderMap trailers(e.server->arena());
      trailers.Add("x-sum", "1");
      e.server->SendResponse(head, false);
      e.server->SendTrailers(trailers);
    };
  };
  Write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\n\r\n");
  RunUntil([&] { return received.ends_with("\r\n\r\n0\r\n\r\n"); });
  EXPECT_TRUE(server_owner.exchanges.at(0)->trailers.empty());
}

TEST_F(H1Server, KeepsTheCaseOfNamesForWhoeverWritesThem) {
  Start({.http1 = {.header_case = HeaderCase::kAsReceived}});
  server_owner.on_request = [](ServerExchange& e) {
    // As a proxy would: the request's names are used in what is sent on.
    ResponseHead head(e.server->arena());
    head.status = 200;
    head.content_length = 0;
    head.headers.mutable_fields() = e.server->request().headers.fields();
    head.headers.Add("x-added", "3");
    head.headers.set_written_names(e.server->request().headers.written_names());
    e.server->SendResponse(head, true);
  };
  Write("GET / HTTP/1.1\r\nHOST: a\r\nX-oNe: 1\r\ncontent-LENGTH: 0\r\nx-TWO: 2\r\n\r\n");
  RunUntil([&] { return received.ends_with("\r\n\r\n"); });
  EXPECT_EQ("HTTP/1.1 200 OK\r\nX-oNe: 1\r\nx-TWO: 2\r\nx-added: 3\r\ncontent-LENGTH: 0\r\n\r\n",
            received);
}

TEST_F(H1Server, RefusesAndCloses) {
  struct Case {
    const char* bytes;
    const char* status;
    const char* detail;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", "400", "missing_host_header"},
      {"GET / HTTP/1.1\nHost: a\n\n", "400", "http1.codec_error"},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505", "http1.unsupported_version"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400", "http1.content_length_not_allowed"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501",
       "http1.unknown_transfer_encoding"},
      {"\x16\x03\x01\x02\r\n\r\n", "400", "http1.codec_error"},
  };
  for (const Case& c : cases) {
    H1Server_RefusesAndCloses_Test fresh;
    fresh.Start();
    fresh.Write(c.bytes);
    fresh.RunUntil([&] { return fresh.peer_ended; });
    EXPECT_THAT(fresh.received, StartsWith(std::string("HTTP/1.1 ") + c.status)) << c.bytes;
    EXPECT_THAT(fresh.received, HasSubstr("connection: close\r\n"));
    EXPECT_EQ(c.detail, fresh.server_owner.error);
    fresh.peer.Reset();
    fresh.RunUntil([&] { return fresh.server_owner.closed; });
  }
}

TEST_F(H1Server, RefusesLargeHeads) {
  Start({.head_bytes_max = 20 * 1024});
  Write("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(19 * 1024, 'x') + "\r\n\r\n");
  RunUntil([&] { return received.ends_with("hi"); });
  Write("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(30 * 1024, 'x') + "\r\n\r\n");
  RunUntil([&] { return peer_ended; });
  EXPECT_THAT(received, HasSubstr("HTTP/1.1 431 "));
}

TEST_F(H1Server, BadChunkGetsAnAnswerAndAReset) {
  Start();
  server_owner.on_request = nullptr;
  Write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n");
  RunUntil([&] { return peer_ended; });
  EXPECT_THAT(received, StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(ResetReason::kProtocolError, server_owner.exchanges.at(0)->reset);
}

TEST_F(H1Server, EarlyAnswerDropsASmallBodyAndKeepsTheConnection) {
  Start();
  Write("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  RunUntil([&] { return received.ends_with("hi"); });
  Write("abcdeGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return server_owner.exchanges.size() == 2; });
  EXPECT_EQ("/2", server_owner.exchanges[1]->path);
}

TEST_F(H1Server, EarlyAnswerToALargeBodyCloses) {
  Start();
  Write("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\nabc");
  RunUntil([&] { return peer_ended; });
  EXPECT_THAT(received, HasSubstr("hi"));
}

TEST_F(H1Server, ContinuesOnRequest) {
  Start();
  server_owner.on_request = [](ServerExchange& e) {
    EXPECT_TRUE(e.server->request().expects_continue);
    e.server->SendContinue();
    e.on_end = [&e] { e.Respond(201, e.body); };
  };
  Write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
  RunUntil([&] { return received == "HTTP/1.1 100 Continue\r\n\r\n"; });
  Write("abc");
  RunUntil([&] { return received.ends_with("\r\n\r\nabc"); });
}

TEST_F(H1Server, Http10ClosesUnlessAsked) {
  Start();
  Write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  RunUntil([&] { return received.ends_with("hi"); });
  EXPECT_THAT(received, HasSubstr("connection: keep-alive"));
  server_owner.on_request = [](ServerExchange& e) { e.Respond(200, "unknown", false); };
  received.clear();
  Write("GET / HTTP/1.0\r\n\r\n");
  RunUntil([&] { return peer_ended; });
  EXPECT_EQ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nunknown", received);
}

TEST_F(H1Server, HeadHasNoBody) {
  Start();
  Write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return received.ends_with("\r\n\r\n"); });
  Settle();
  EXPECT_EQ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", received);
}

TEST_F(H1Server, UpgradeTunnelsBothWaysWithHalfClose) {
  Start();
  server_owner.on_request = [](ServerExchange& e) {
    EXPECT_EQ("websocket", e.upgrade);
    ResponseHead head(e.server->arena());
    head.status = 101;
    head.headers.Add(HeaderId::kUpgrade, "websocket");
    e.server->SendResponse(head, false);
    e.on_end = [&e] { e.server->SendBody(e.body + "!", true); };
  };
  Write(
      "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
      "websocket\r\n\r\nping");
  RunUntil([&] {
    return server_owner.exchanges.size() == 1 && server_owner.exchanges[0]->body == "ping";
  });
  EXPECT_THAT(received, HasSubstr("connection: upgrade\r\nupgrade: websocket\r\n\r\n"));
  shutdown(peer.get(), SHUT_WR);
  RunUntil([&] { return peer_ended; });
  EXPECT_TRUE(received.ends_with("ping!"));
  EXPECT_TRUE(server_owner.exchanges[0]->finished);
}

TEST_F(H1Server, EmptyLinesThatFillTheInputDoNotStopTheReading) {
  Start();
  for (int i = 0; i < 6; ++i) {
    std::string lines;
    for (int j = 0; j < 5000; ++j) lines += "\r\n";
    Write(lines);
  }
  Write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return received.ends_with("hi"); });
}

TEST_F(H1Server, NothingBehindARefusedTunnelIsARequest) {
  for (const char* head : {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
                           "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: "
                           "websocket\r\n\r\n"}) {
    for (const bool is_early : {false, true}) {
      H1Server_NothingBehindARefusedTunnelIsARequest_Test fresh;
      fresh.Start();
      fresh.server_owner.on_request = [](ServerExchange& e) { e.Respond(403, "hi"); };
      const std::string_view smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
      fresh.Write(head + std::string(is_early ? smuggled : ""));
      fresh.RunUntil([&] { return fresh.received.ends_with("hi"); });
      if (!is_early) fresh.Write(smuggled);
      fresh.RunUntil([&] { return fresh.peer_ended; });
      EXPECT_EQ(1u, fresh.server_owner.exchanges.size()) << head;
      EXPECT_THAT(fresh.received, HasSubstr("connection: close\r\n"));
    }
  }
}

TEST_F(H1Server, DrainClosesAfterTheAnswer) {
  Start();
  server_owner.on_request = nullptr;
  Write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return server_owner.exchanges.size() == 1; });
  server->Drain();
  server_owner.exchanges[0]->Respond(200, "last");
  RunUntil([&] { return peer_ended; });
  EXPECT_THAT(received, HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(received.ends_with("last"));
}

TEST_F(H1Server, ClientThatLeavesResetsTheStream) {
  Start();
  server_owner.on_request = nullptr;
  Write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return server_owner.exchanges.size() == 1; });
  peer.Reset();
  RunUntil([&] { return server_owner.closed; });
  EXPECT_EQ(ResetReason::kRemoteReset, server_owner.exchanges[0]->reset);
}

TEST_F(H1Server, ShortBodyEndsTheConnection) {
  Start();
  server_owner.on_request = [](ServerExchange& e) {
    ResponseHead head(e.server->arena());
    head.status = 200;
    head.content_length = 10;
    e.server->SendResponse(head, false);
    e.server->SendBody("short", true);
  };
  Write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  RunUntil([&] { return peer_ended; });
}

}  // namespace
}  // namespace meltemi::http::h1
