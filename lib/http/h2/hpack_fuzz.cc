// SPDX-License-Identifier: Apache-2.0
// The decoder of header compression: blocks whole and in pieces say the same, and what our encoder
// makes of the fields says it again.
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/http/h2/hpack_decoder.h"
#include "lib/http/h2/hpack_encoder.h"

namespace {

using namespace meltemi::http::h2;

struct Sink final : FieldSink {
  void OnField(const Field& field) override { fields.emplace_back(field.name, field.value); }
  std::vector<std::pair<std::string, std::string>> fields;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t piece = data[0] % 32 + 1;
  std::string_view left(reinterpret_cast<const char*>(data) + 1, size - 1);
  HpackDecoder whole, pieces, again;
  HpackEncoder encoder;
  meltemi::net::BlockPool pool;
  while (!left.empty()) {
    // Blocks of one connection, each behind its length.
    const std::string_view block = left.substr(1, static_cast<uint8_t>(left.front()));
    left.remove_prefix(1 + block.size());
    Sink sink, in_pieces, encoded;
    const bool is_good = whole.Decode(block, true, sink);
    bool is_good_in_pieces = true;
    for (size_t at = 0; is_good_in_pieces && at < block.size(); at += piece) {
      is_good_in_pieces =
          pieces.Decode(block.substr(at, piece), at + piece >= block.size(), in_pieces);
    }
    MELTEMI_CHECK(is_good == is_good_in_pieces);
    if (!is_good) return 0;
    MELTEMI_CHECK(sink.fields == in_pieces.fields);
    meltemi::net::Buffer out(pool);
    encoder.BeginBlock(out);
    for (const auto& [name, value] : sink.fields) {
      encoder.Encode(meltemi::http::LookUpHeader(name), name, value, out);
    }
    MELTEMI_CHECK(again.Decode(out.view(), true, encoded));
    MELTEMI_CHECK(sink.fields == encoded.fields);
  }
  return 0;
}
