// SPDX-License-Identifier: Apache-2.0
// Cost of one HTTP/1 hop without sockets: parse a request and write it again, the same for a
// response.
#include <benchmark/benchmark.h>

#include <cstring>

#include "lib/http/h1/head_parser.h"
#include "lib/http/h1/writer.h"

namespace meltemi::http::h1 {
namespace {

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
    "Server: gunicorn\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nX-Envoy-Upstream-Service-Time: "
    "3\r\n"
    "Cache-Control: no-cache\r\n\r\n";

char* CopyHead(Arena& arena, std::string_view text, size_t end) {
  char* const head = arena.Allocate(end + kHeadPadding);
  std::memcpy(head, text.data(), end);
  return head;
}

void BM_Request(benchmark::State& state) {
  Arena arena;
  net::BlockPool pool;
  net::Buffer out(pool);
  RequestHead head(arena);
  for (auto _ : state) {
    head.headers.Clear();
    head.authority = {};
    arena.Reset();
    Framing framing;
    const size_t end = FindHeadEnd(kRequest, 0);
    benchmark::DoNotOptimize(
        ParseRequestHead(CopyHead(arena, kRequest, end), end, 100, "http", head, framing));
    WriteRequestHead(head, true, out);
    out.Consume(out.size());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRequest.size()));
}
BENCHMARK(BM_Request);

void BM_Response(benchmark::State& state) {
  Arena arena;
  net::BlockPool pool;
  net::Buffer out(pool);
  ResponseHead head(arena);
  for (auto _ : state) {
    head.headers.Clear();
    arena.Reset();
    Framing framing;
    const size_t end = FindHeadEnd(kResponse, 0);
    benchmark::DoNotOptimize(
        ParseResponseHead(CopyHead(arena, kResponse, end), end, 100, head, framing));
    WriteResponseHead(head, false, {}, out);
    out.Consume(out.size());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kResponse.size()));
}
BENCHMARK(BM_Response);

}  // namespace
}  // namespace meltemi::http::h1
