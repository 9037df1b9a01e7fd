// SPDX-License-Identifier: Apache-2.0
// Strict parser of HTTP/1 message heads (RFC 9112): pure functions over a span, no state, no heap.
// Thread-safe. Where the RFC leaves a choice the narrow one is taken, because every tolerance is a
// way for two parsers in a row to disagree (request smuggling).
//
// The caller finds the head's end, copies the head once into the stream's arena, and parses that
// copy in place: names become lower case there and the views of the result point into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/http/message.h"

namespace meltemi::http::h1 {

// Readable bytes the parser needs beyond the end of a head (it reads 16 at a time).
inline constexpr size_t kHeadPadding = 16;

enum class HeadError : uint8_t {
  kNone,
  kMalformed,              // request or status line
  kVersion,                // HTTP/2.0, HTTP/1.2 …
  kTarget,                 // request target of a form the method does not allow
  kField,                  // name, value, obs-fold, bare CR or LF
  kHost,                   // repeated or invalid
  kContentLength,          // not one plain number, or beside transfer-encoding
  kTransferEncoding,       // repeated, or chunked not last
  kTransferEncodingOther,  // a coding we do not have: 501
  kTooLarge,
  kTooSlow,
  kNoHost,
  kTooManyFields,
};

struct ErrorAnswer {
  int status;
  std::string_view detail;  // for logs; static
};
ErrorAnswer Describe(HeadError error);

// What the head says about its body and its connection.
struct Framing {
  bool is_chunked = false;
  bool has_content_length = false;
  bool says_close = false;
  bool says_keep_alive = false;
};

// Offset just behind the empty line, or npos. `from` = bytes known not to begin the end.
size_t FindHeadEnd(std::string_view bytes, size_t from);
// Whether a line feed without carriage return stands at `from` or later: then no end will ever be
// found.
bool HasBareLineFeed(std::string_view bytes, size_t from);

// Requires: [head, head + bytes) ends with an empty line as FindHeadEnd found it, kHeadPadding
// readable bytes follow, and `out` is fresh. `default_scheme` is used unless the target names one.
HeadError ParseRequestHead(char* head, size_t bytes, size_t fields_max,
                           std::string_view default_scheme, RequestHead& out, Framing& framing);
HeadError ParseResponseHead(char* head, size_t bytes, size_t fields_max, ResponseHead& out,
                            Framing& framing);
// Trailer section: field lines and the empty line. Fields that frame or route are dropped.
HeadError ParseTrailers(char* head, size_t bytes, size_t fields_max, HeaderMap& out);

// The names in a head that was parsed without an error, as they stand in `head` (a copy made before
// parsing). Copied to the arena.
std::span<const std::string_view> WrittenNames(std::string_view head, Arena& arena);

bool EqualsIgnoreCase(std::string_view a, std::string_view lower_case);

}  // namespace meltemi::http::h1
