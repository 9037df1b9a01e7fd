// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/head_parser.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

namespace meltemi::http::h1 {
namespace {

// A head copied as connections do it: with padding behind, and nothing readable beyond that.
struct Parsed {
  Parsed(std::string_view text, size_t fields_max = 100) {
    bytes = FindHeadEnd(text, 0);
    if (bytes == std::string_view::npos) return;
    copy = std::make_unique<char[]>(bytes + kHeadPadding);
    std::memcpy(copy.get(), text.data(), bytes);
    if (text.starts_with("HTTP")) {
      error = ParseResponseHead(copy.get(), bytes, fields_max, response, framing);
    } else {
      error = ParseRequestHead(copy.get(), bytes, fields_max, "http", request, framing);
    }
  }
  Arena arena;
  RequestHead request{arena};
  ResponseHead response{arena};
  Framing framing;
  size_t bytes = 0;
  HeadError error = HeadError::kNone;
  std::unique_ptr<char[]> copy;
};

TEST(FindHeadEnd, FindsTheEmptyLineWhereverItLies) {
  for (size_t before = 0; before < 70; ++before) {
    const std::string text = std::string(before, 'x') + "\r\n\r\nrest\r\n\r\n";
    EXPECT_EQ(before + 4, FindHeadEnd(text, 0)) << before;
    EXPECT_EQ(std::string_view::npos, FindHeadEnd(text.substr(0, before + 3), 0)) << before;
  }
  EXPECT_EQ(10u, FindHeadEnd("\r\r\n\r\r\r\r\n\r\n", 0));
  EXPECT_TRUE(HasBareLineFeed("a\nb", 0));
  EXPECT_TRUE(HasBareLineFeed("\nb", 0));
  EXPECT_FALSE(HasBareLineFeed("a\r\nb\r\n", 0));
}

TEST(RequestHead, TakesTheFormsOfTargets) {
  struct Case {
    const char* line;
    const char* scheme;
    const char* authority;
    const char* path;
  };
  const Case cases[] = {
      {"GET /a/b?c=d HTTP/1.1", "http", "h:80", "/a/b?c=d"},
      {"OPTIONS * HTTP/1.1", "http", "h:80", "*"},
      {"GET http://other/x HTTP/1.1", "http", "other", "/x"},
      {"GET HTTPS://other:8443 HTTP/1.1", "https", "other:8443", "/"},
      {"GET http://other?q HTTP/1.1", "http", "other", "/?q"},
      {"OPTIONS http://other HTTP/1.1", "http", "other", "*"},
      {"CONNECT [::1]:443 HTTP/1.1", "http", "[::1]:443", ""},
      {"M-SEARCH /x HTTP/1.1", "http", "h:80", "/x"},
  };
  for (const Case& c : cases) {
    const Parsed parsed(std::string(c.line) + "\r\nHost: h:80\r\n\r\n");
    EXPECT_EQ(HeadError::kNone, parsed.error) << c.line;
    EXPECT_EQ(c.scheme, parsed.request.scheme);
    EXPECT_EQ(c.authority, parsed.request.authority);
    EXPECT_EQ(c.path, parsed.request.path);
  }
}

TEST(RequestHead, RefusesBadRequestLines) {
  const std::pair<const char*, HeadError> cases[] = {
      {"GET /", HeadError::kMalformed},  // HTTP/0.9
      {"GET  / HTTP/1.1", HeadError::kMalformed},
      {"GET / HTTP/1.1 ", HeadError::kMalformed},
      {" GET / HTTP/1.1", HeadError::kMalformed},
      {"G(T / HTTP/1.1", HeadError::kMalformed},
      {"GET\t/ HTTP/1.1", HeadError::kMalformed},
      {"GET /a b HTTP/1.1", HeadError::kMalformed},
      {"GET /\x01 HTTP/1.1", HeadError::kMalformed},
      {"GET / http/1.1", HeadError::kMalformed},
      {"GET / HTTP/11", HeadError::kMalformed},
      {"GET / HTTP/1.10", HeadError::kMalformed},
      {"GET / HTTP/1.2", HeadError::kVersion},
      {"PRI * HTTP/2.0", HeadError::kVersion},
      {"GET * HTTP/1.1", HeadError::kTarget},
      {"GET a HTTP/1.1", HeadError::kTarget},
      {"GET /\xc3\xa9 HTTP/1.1", HeadError::kMalformed},
      {"GET /\x7f HTTP/1.1", HeadError::kMalformed},
      {"GET ftp://h/ HTTP/1.1", HeadError::kTarget},
      {"GET http:///x HTTP/1.1", HeadError::kHost},
      {"GET http://u@h/x HTTP/1.1", HeadError::kHost},
      {"CONNECT /x HTTP/1.1", HeadError::kTarget},
      {"CONNECT h HTTP/1.1", HeadError::kTarget},
      {"CONNECT h: HTTP/1.1", HeadError::kTarget},
      {"CONNECT http://h:1 HTTP/1.1", HeadError::kTarget},
  };
  for (const auto& [line, error] : cases) {
    EXPECT_EQ(error, Parsed(std::string(line) + "\r\nHost: h\r\n\r\n").error) << line;
  }
}

TEST(RequestHead, RefusesBadFields) {
  const std::pair<std::string_view, HeadError> cases[] = {
      {"Name : v", HeadError::kField},
      {" Name: v", HeadError::kField},
      {"Name: v\r\n folded", HeadError::kField},
      {"Na me: v", HeadError::kField},
      {"Na\"me: v", HeadError::kField},
      {": v", HeadError::kField},
      {"Name", HeadError::kField},
      {"Name: a\rb", HeadError::kField},
      {"Name: a\nb", HeadError::kField},
      {{"Name: a\0b", 9}, HeadError::kField},
      {"Name: a\x7f", HeadError::kField},
      {"N\xc3\xa4me: a", HeadError::kField},
      {"Host: again", HeadError::kHost},
      {"Content-Length: 1\r\nContent-Length: 1", HeadError::kContentLength},
      {"Content-Length: 1, 1", HeadError::kContentLength},
      {"Content-Length: +1", HeadError::kContentLength},
      {"Content-Length: -1", HeadError::kContentLength},
      {"Content-Length: 0x1", HeadError::kContentLength},
      {"Content-Length: 1 1", HeadError::kContentLength},
      {"Content-Length:", HeadError::kContentLength},
      {"Content-Length: 9999999999999999999", HeadError::kContentLength},
      {"Content-Length: 1\r\nTransfer-Encoding: chunked", HeadError::kContentLength},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HeadError::kTransferEncoding},
      {"Transfer-Encoding: chunked, chunked", HeadError::kTransferEncoding},
      {"Transfer-Encoding: chunked, gzip", HeadError::kTransferEncoding},
      {"Transfer-Encoding: \x0b"
       "chunked",
       HeadError::kField},
      {"Transfer-Encoding: \"chunked\"", HeadError::kTransferEncoding},
      {"Transfer-Encoding: chunked;q=1", HeadError::kTransferEncoding},
      {"Transfer-Encoding:", HeadError::kTransferEncoding},
      {"Transfer-Encoding: gzip, chunked", HeadError::kTransferEncodingOther},
      {"Transfer-Encoding: xchunked", HeadError::kTransferEncodingOther},
      {"Transfer-Encoding: identity", HeadError::kTransferEncodingOther},
  };
  for (const auto& [field, error] : cases) {
    const std::string text = "GET / HTTP/1.1\r\nHost: h\r\n" + std::string(field) + "\r\n\r\n";
    EXPECT_EQ(error, Parsed(text).error) << field;
  }
  EXPECT_EQ(HeadError::kHost, Parsed("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").error);
  EXPECT_EQ(HeadError::kHost, Parsed("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n").error);
  EXPECT_EQ(HeadError::kHost, Parsed("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n").error);
  EXPECT_EQ(HeadError::kHost, Parsed("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n").error);
  EXPECT_EQ(HeadError::kTransferEncoding,
            Parsed("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").error);
  EXPECT_EQ(HeadError::kTooManyFields,
            Parsed("GET / HTTP/1.1\r\nHost: h\r\na: 1\r\nb: 2\r\n\r\n", 2).error);
}

TEST(RequestHead, TakesOutWhatBelongsToTheHop) {
  const Parsed parsed(
      "POST /x HTTP/1.1\r\nHOST: h\r\nConnection: close, X-Private , Upgrade\r\nKeep-Alive: 5\r\n"
      "X-Private: 1\r\nx-pUBLIC:\t two words \t\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n"
      "TE: gzip, trailers\r\nTransfer-Encoding: chunked\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(HeadError::kNone, parsed.error);
  EXPECT_TRUE(parsed.framing.says_close);
  EXPECT_TRUE(parsed.framing.is_chunked);
  EXPECT_EQ("", parsed.request.upgrade);
  EXPECT_EQ(kLengthUnknown, parsed.request.content_length);
  const auto& fields = parsed.request.headers.fields();
  ASSERT_EQ(3u, fields.size());
  EXPECT_EQ("x-public", fields[0].name);
  EXPECT_EQ("two words", fields[0].value);
  EXPECT_EQ("te", fields[1].name);
  EXPECT_EQ("trailers", fields[1].value);
  EXPECT_EQ("empty", fields[2].name);
  EXPECT_EQ("", fields[2].value);
}

TEST(RequestHead, UpgradesOnlyWithoutABody) {
  const std::string head =
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  EXPECT_EQ("websocket", Parsed(head + "\r\n").request.upgrade);
  EXPECT_EQ("", Parsed(head + "Content-Length: 3\r\n\r\n").request.upgrade);
  EXPECT_EQ("", Parsed("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n").request.upgrade);
}

TEST(ResponseHead, ReadsStatusLines) {
  const Parsed parsed("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX: y\r\n\r\n");
  EXPECT_EQ(HeadError::kNone, parsed.error);
  EXPECT_EQ(404, parsed.response.status);
  EXPECT_EQ(5, parsed.response.content_length);
  EXPECT_EQ(200, Parsed("HTTP/1.1 200\r\nA: b\r\n\r\n").response.status);
  EXPECT_EQ(200, Parsed("HTTP/1.0 200 \r\n\r\n").response.status);
  for (const char* line :
       {"HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 600 OK",
        "HTTP/1.1 099 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200 O\x01K", "HTTP/1.1"}) {
    EXPECT_NE(HeadError::kNone, Parsed(std::string(line) + "\r\nX: y\r\n\r\n").error) << line;
  }
  EXPECT_EQ(HeadError::kVersion, Parsed("HTTP/2.0 200 OK\r\n\r\n").error);
}

TEST(Headers, LookUpKnowsEveryNameAndNoOther) {
  for (int i = 1; i < static_cast<int>(HeaderId::kCount); ++i) {
    const auto id = static_cast<HeaderId>(i);
    EXPECT_EQ(id, LookUpHeader(HeaderName(id)));
    std::string other(HeaderName(id));
    other[1] ^= 1;
    EXPECT_EQ(HeaderId::kOther, LookUpHeader(other));
  }
  EXPECT_EQ(HeaderId::kOther, LookUpHeader(""));
}

TEST(Headers, SetReplacesAllAndJoinedJoins) {
  Arena arena;
  HeaderMap map(arena);
  map.Add("x-a", "1");
  map.Add("accept", "b");
  map.Add("x-a", "2");
  EXPECT_EQ("1,2", map.Joined("x-a"));
  EXPECT_EQ("b", map.Get(HeaderId::kAccept));
  map.Set("x-a", "3");
  EXPECT_EQ(2u, map.size());
  EXPECT_EQ("3", *map.Find("x-a"));
  map.Remove("x-a");
  EXPECT_EQ(nullptr, map.Find("x-a"));
}

}  // namespace
}  // namespace meltemi::http::h1
