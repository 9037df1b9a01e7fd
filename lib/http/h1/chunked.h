// SPDX-License-Identifier: Apache-2.0
// Decoder of the chunked transfer coding (RFC 9112 §7.1). A value with no heap; pure but for its
// own state. Strict: CRLF only, hexadecimal digits only, extensions skipped and bounded. Stops
// before the trailer section, which the caller reads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace meltemi::http::h1 {

class ChunkedDecoder final {
 public:
  // Extensions have no known use; a peer that sends more of them per message burns our time.
  static constexpr size_t kExtensionBytesMax = 4096;

  enum class State : uint8_t {
    kSize,       // digits
    kExtension,  // from ';' to CR
    kSizeLf,     // LF that ends the size line
    kData,
    kDataCr,
    kDataLf,
    kTrailers,  // the last chunk was read; the trailer section follows
    kBad,
  };
  struct Result {
    size_t consumed;  // bytes of input used up
    size_t produced;  // body bytes written to `out`
  };

  // Decodes [in, in + bytes); `out` may be `in` itself or lie before it in the same buffer.
  Result Decode(const char* in, size_t bytes, char* out);
  State state() const { return state_; }

 private:
  void TakeFraming(char c);
  void TakeSizeDigit(char c);

  State state_ = State::kSize;
  uint8_t digits_ = 0;
  uint16_t extension_bytes_ = 0;
  uint64_t remaining_ = 0;  // of this chunk
};

}  // namespace meltemi::http::h1
