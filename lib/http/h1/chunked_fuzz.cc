// SPDX-License-Identifier: Apache-2.0
// However the bytes are cut, the decoder says the same.
#include <cstdint>
#include <string>

#include "lib/base/check.h"
#include "lib/http/h1/chunked.h"

namespace {

using meltemi::http::h1::ChunkedDecoder;

struct Outcome {
  std::string body;
  size_t consumed = 0;
  ChunkedDecoder::State state = ChunkedDecoder::State::kSize;
};

Outcome Run(std::string text, size_t piece) {
  ChunkedDecoder decoder;
  Outcome outcome;
  while (outcome.consumed < text.size()) {
    const size_t size = std::min(piece, text.size() - outcome.consumed);
    char* const at = text.data() + outcome.consumed;
    const ChunkedDecoder::Result r = decoder.Decode(at, size, at);
    MELTEMI_CHECK(r.produced <= r.consumed && r.consumed <= size);
    outcome.body.append(at, r.produced);
    outcome.consumed += r.consumed;
    if (r.consumed < size) break;
  }
  outcome.state = decoder.state();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Run(text, text.size() + 1);
  const Outcome pieces = Run(text, data[0] % 16 + 1);
  MELTEMI_CHECK(whole.state == pieces.state && whole.body == pieces.body);
  MELTEMI_CHECK(whole.consumed == pieces.consumed);
  return 0;
}
