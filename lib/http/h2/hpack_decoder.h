// SPDX-License-Identifier: Apache-2.0
// Decodes header blocks (RFC 7541). Worker-local, one per connection and direction.
//
// A block may come in pieces; what a piece leaves unfinished is kept, at most one representation.
// Any error ends the connection with COMPRESSION_ERROR: the table is out of step from then on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/http/h2/hpack_table.h"

namespace meltemi::http::h2 {

class FieldSink {
 public:
  // Views are good during the call.
  virtual void OnField(const Field& field) = 0;

 protected:
  ~FieldSink() = default;
};

class HpackDecoder final {
 public:
  // Of one name or value, on the wire; more for those who take larger heads.
  static constexpr size_t kStringBytesMax = 64 * 1024;
  void SetStringLimit(size_t bytes) { string_limit_ = std::max(bytes, kStringBytesMax); }

  // What our settings allow the peer's table to be. Lower than before: the next block has to begin
  // with an update (§4.2). Call when the peer has acknowledged them; a raise may be told at once.
  void SetTableLimit(size_t bytes);
  bool Decode(std::string_view piece, bool is_last, FieldSink& sink);

 private:
  static constexpr size_t kScratchBytesKept = 8192;
  enum class Step : uint8_t { kDone, kMore, kError };
  Step DecodeOne(const char*& at, const char* end, FieldSink& sink);
  Step DecodeLiteral(const char*& at, const char* end, int prefix_bits, bool is_indexed,
                     FieldSink& sink);
  Step DecodeSize(const char*& at, const char* end);
  Step DecodeString(const char*& at, const char* end, std::string& scratch, std::string_view& text);
  void EndBlock();
  bool Look(uint64_t index, Field& field) const;

  const std::array<FieldTag, kStaticFields>& static_tags_ = StaticTags();
  DynamicTable table_;
  size_t table_limit_ = 4096;
  size_t string_limit_ = kStringBytesMax;
  std::string tail_;
  std::string name_scratch_;
  std::string value_scratch_;
  bool needs_update_ = false;
  bool is_at_start_ = true;  // of a block: updates of the size may come
};

}  // namespace meltemi::http::h2
