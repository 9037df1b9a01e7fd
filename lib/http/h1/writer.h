// SPDX-License-Identifier: Apache-2.0
// Writes HTTP/1 messages into a connection's output buffer. Worker-local; no heap of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/http/connection.h"
#include "lib/http/message.h"
#include "lib/net/connection.h"

namespace meltemi::http::h1 {

std::string_view ReasonPhrase(int status);

// How the body behind a head is delimited, as the head announced it.
enum class BodyFraming : uint8_t { kNone, kLength, kChunked, kUntilClose };

struct RequestForm {
  BodyFraming framing;
  bool is_connect;  // CONNECT authority-form
};
// Appends the head; fields of this hop in `head.headers` are left out, the codec writes its own.
RequestForm WriteRequestHead(const RequestHead& head, bool end_stream, net::Buffer& out,
                             HeaderCase header_case = HeaderCase::kLower);

struct ResponseOptions {
  bool is_to_head = false;    // answers HEAD
  bool is_to_http10 = false;  // no chunks
  bool is_tunnel = false;     // 101, or 2xx to CONNECT
  bool says_close = false;
  bool says_keep_alive = false;  // an HTTP/1.0 client asked
  HeaderCase header_case = HeaderCase::kLower;
};
BodyFraming WriteResponseHead(const ResponseHead& head, bool end_stream,
                              const ResponseOptions& options, net::Buffer& out);

// Sends one body.
class BodyWriter final {
 public:
  // Trailers are written only when `has_trailers`: the peer may not expect any.
  void Start(BodyFraming framing, int64_t length, bool has_trailers = false);
  // Appends until the output is full; returns what it took. Ends the body when all was taken and
  // `ends`.
  size_t Write(net::Connection& connection, std::string_view bytes, bool ends);
  void WriteTrailers(net::Buffer& out, const HeaderMap& trailers);
  bool has_ended() const { return has_ended_; }
  bool is_framed() const { return framing_ != BodyFraming::kUntilClose; }
  // The body did not match its announced length: the connection must not be used further.
  bool is_broken() const { return is_broken_; }

 private:
  void Append(net::Buffer& out, std::string_view piece);

  BodyFraming framing_ = BodyFraming::kNone;
  bool has_ended_ = true;
  bool is_broken_ = false;
  bool has_trailers_ = false;
  uint64_t remaining_ = 0;
};

}  // namespace meltemi::http::h1
