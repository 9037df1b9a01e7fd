// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <string_view>

#include "bench/pure/subject.h"
#include "lib/base/check.h"
#include "lib/http/h1/chunked.h"
#include "lib/http/h1/head_parser.h"
#include "lib/http/h1/writer.h"

namespace meltemi::bench {
namespace {

using namespace http::h1;

// What a browser-like client behind a mesh sends (700 bytes).
constexpr std::string_view kRequest =
    "GET /productpage?u=normal HTTP/1.1\r\n"
    "Host: productpage.default.svc.cluster.local:9080\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Cookie: session=eyJ1c2VyIjoiamFzb24ifQ.XyZ12345.abcdefghijklmnopqrstuvwxyz012345\r\n"
    "X-Forwarded-Proto: http\r\n"
    "X-Request-Id: 3f1c2b6e-7d0a-9c5e-8f4b-1a2b3c4d5e6f\r\n"
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    "X-Envoy-Attempt-Count: 1\r\n"
    "\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\n"
    "Server: gunicorn\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
    "X-Envoy-Upstream-Service-Time: 3\r\nCache-Control: no-cache\r\n\r\n";

char* CopyHead(Arena& arena, std::string_view text) {
  char* const head = arena.Allocate(text.size() + kHeadPadding);
  std::memcpy(head, text.data(), text.size());
  return head;
}

struct ParseRequest {
  void operator()() {
    head.headers.Clear();
    head.authority = {};
    arena.Reset();
    Framing framing;
    const size_t end = FindHeadEnd(kRequest, 0);
    MELTEMI_CHECK(ParseRequestHead(CopyHead(arena, kRequest.substr(0, end)), end, 100, "http", head,
                                   framing) == HeadError::kNone);
  }
  Arena arena;
  http::RequestHead head{arena};
};

struct ParseResponse {
  void operator()() {
    head.headers.Clear();
    arena.Reset();
    Framing framing;
    const size_t end = FindHeadEnd(kResponse, 0);
    MELTEMI_CHECK(ParseResponseHead(CopyHead(arena, kResponse.substr(0, end)), end, 100, head,
                                    framing) == HeadError::kNone);
  }
  Arena arena;
  http::ResponseHead head{arena};
};

struct WriteRequest {
  WriteRequest() { request(); }
  void operator()() {
    WriteRequestHead(request.head, true, out);
    MELTEMI_CHECK(out.size() > 500);
    out.Consume(out.size());
  }
  ParseRequest request;
  net::BlockPool pool;
  net::Buffer out{pool};
};

struct WriteResponse {
  WriteResponse() { response(); }
  void operator()() {
    WriteResponseHead(response.head, false, {}, out);
    MELTEMI_CHECK(out.size() > 150);
    out.Consume(out.size());
  }
  ParseResponse response;
  net::BlockPool pool;
  net::Buffer out{pool};
};

struct DecodeChunks {
  DecodeChunks() {
    for (const size_t bytes : {1, 17, 300, 4096, 4096}) {
      char size[8];
      std::snprintf(size, sizeof size, "%zx\r\n", bytes);
      coded += size + std::string(bytes, 'x') + "\r\n";
      body_bytes += bytes;
    }
    coded += "0\r\n";
    body.resize(coded.size());
  }
  void operator()() {
    ChunkedDecoder decoder;
    const auto result = decoder.Decode(coded.data(), coded.size(), body.data());
    MELTEMI_CHECK(result.produced == body_bytes);
    MELTEMI_CHECK(decoder.state() == ChunkedDecoder::State::kTrailers);
  }
  std::string coded, body;
  size_t body_bytes = 0;
};

}  // namespace

std::vector<Subject> Http1Subjects() {
  return {
      Measure<ParseRequest>("h1_parse_request"),   Measure<ParseResponse>("h1_parse_response"),
      Measure<WriteRequest>("h1_write_request"),   Measure<WriteResponse>("h1_write_response"),
      Measure<DecodeChunks>("h1_decode_5_chunks"),
  };
}

}  // namespace meltemi::bench
