// SPDX-License-Identifier: Apache-2.0
// Reads one HTTP/1 message body out of a connection's input buffer, in place. Worker-local, member
// of a stream. Chunked bodies are compacted within the buffer, so that the body always is one
// contiguous view:
//
//   [ decoded, peekable | gap left by chunk framing | raw, not decoded yet ]
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/http/h1/chunked.h"
#include "lib/http/headers.h"
#include "lib/net/buffer.h"

namespace meltemi::http::h1 {

class BodyReader final {
 public:
  // A trailer section larger than this is refused.
  static constexpr size_t kTrailerBytesMax = 8 * 1024;
  enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };
  enum class Verdict : uint8_t { kOk, kBad, kCutOff };

  explicit BodyReader(Arena& arena) : trailers_(arena) {}

  // Trailers are judged in any case, and kept when `keeps_trailers`.
  void Start(Framing framing, int64_t length, size_t trailer_fields_max,
             bool keeps_trailers = false);
  // Looks at what arrived. kCutOff = the peer ended before the body did.
  Verdict Advance(net::Buffer& input, bool input_ended);
  std::string_view Peek(const net::Buffer& input) const;
  void Consume(net::Buffer& input, size_t bytes);

  // Peek() holds all that is left.
  bool has_ended() const { return has_ended_; }
  // And that was consumed.
  bool is_done(const net::Buffer& input) const { return has_ended_ && Peek(input).empty(); }
  const HeaderMap* trailers() const {
    return has_ended_ && trailers_.size() != 0 ? &trailers_ : nullptr;
  }
  // Body bytes still to come, as far as known; negative when not.
  int64_t left(const net::Buffer& input) const;
  // Whether body bytes were seen at all.
  Framing framing() const { return framing_; }

 private:
  Verdict AdvanceChunked(net::Buffer& input);
  // True when the section was read or is bad.
  Verdict ReadTrailers(net::Buffer& input);

  Framing framing_ = Framing::kNone;
  bool has_ended_ = true;
  ChunkedDecoder decoder_;
  size_t decoded_ = 0;
  size_t gap_ = 0;
  uint64_t remaining_ = 0;  // kLength: bytes not consumed yet
  size_t trailer_fields_max_ = 0;
  bool keeps_trailers_ = false;
  HeaderMap trailers_;
};

}  // namespace meltemi::http::h1
