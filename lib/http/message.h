// SPDX-License-Identifier: Apache-2.0
// The heads of requests and responses, protocol-neutral. Views point into the stream's arena.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/http/headers.h"

namespace meltemi::http {

enum class Protocol : uint8_t { kHttp10, kHttp11, kHttp2 };

constexpr std::string_view ProtocolName(Protocol protocol) {
  constexpr std::string_view kNames[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
  return kNames[static_cast<int>(protocol)];
}

// How long a body is, as far as its head tells.
inline constexpr int64_t kLengthUnknown =
    -1;  // chunked, HTTP/2 without content-length, until close

struct RequestHead {
  explicit RequestHead(Arena& arena) : headers(arena) {}
  std::string_view method;     // "GET"
  std::string_view scheme;     // "http" or "https"
  std::string_view authority;  // Host or :authority
  std::string_view path;       // :path with query; "" for CONNECT without one, "*" for OPTIONS *
  std::string_view
      upgrade;  // the Upgrade token of an HTTP/1 upgrade or :protocol of extended CONNECT
  Protocol protocol = Protocol::kHttp11;
  int64_t content_length = kLengthUnknown;
  bool expects_continue = false;
  // Hop-by-hop fields (connection, transfer-encoding, keep-alive, host …) are taken out by the
  // codec.
  HeaderMap headers;
};

struct ResponseHead {
  explicit ResponseHead(Arena& arena) : headers(arena) {}
  int status = 0;
  Protocol protocol = Protocol::kHttp11;
  int64_t content_length = kLengthUnknown;
  HeaderMap headers;
};

}  // namespace meltemi::http
