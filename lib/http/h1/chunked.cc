// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/chunked.h"

#include <algorithm>
#include <cstring>

namespace meltemi::http::h1 {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

//   kSize --CR--> kSizeLf --LF--> kData (size > 0) --all read--> kDataCr --> kDataLf --> kSize
//     \--;--> kExtension --CR-^        \-- size 0 --> kTrailers
ChunkedDecoder::Result ChunkedDecoder::Decode(const char* in, size_t bytes, char* out) {
  Result result{0, 0};
  while (result.consumed < bytes && state_ != State::kTrailers && state_ != State::kBad) {
    if (state_ != State::kData) {
      TakeFraming(in[result.consumed++]);
      continue;
    }
    const size_t take =
        static_cast<size_t>(std::min<uint64_t>(remaining_, bytes - result.consumed));
    std::memmove(out + result.produced, in + result.consumed, take);
    result.consumed += take;
    result.produced += take;
    remaining_ -= take;
    if (remaining_ == 0) state_ = State::kDataCr;
  }
  return result;
}

void ChunkedDecoder::TakeSizeDigit(char c) {
  if (const int value = HexValue(c); value >= 0) {
    // 15 digits: beyond any body, and no sum of them overflows.
    if (++digits_ > 15) {
      state_ = State::kBad;
    } else {
      remaining_ = remaining_ * 16 + static_cast<uint64_t>(value);
    }
  } else if (digits_ == 0) {
    state_ = State::kBad;
  } else if (c == ';') {
    state_ = State::kExtension;
  } else {
    state_ = c == '\r' ? State::kSizeLf : State::kBad;
  }
}

void ChunkedDecoder::TakeFraming(char c) {
  switch (state_) {
    case State::kSize:
      TakeSizeDigit(c);
      break;
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
      } else if ((static_cast<uint8_t>(c) < ' ' && c != '\t') || c == 0x7f ||
                 ++extension_bytes_ > kExtensionBytesMax) {
        state_ = State::kBad;
      }
      break;
    case State::kSizeLf:
      state_ = c != '\n' ? State::kBad : remaining_ == 0 ? State::kTrailers : State::kData;
      digits_ = 0;
      break;
    case State::kDataCr:
      state_ = c == '\r' ? State::kDataLf : State::kBad;
      break;
    case State::kDataLf:
      state_ = c == '\n' ? State::kSize : State::kBad;
      break;
    case State::kData:
    case State::kTrailers:
    case State::kBad:
      break;
  }
}

}  // namespace meltemi::http::h1
