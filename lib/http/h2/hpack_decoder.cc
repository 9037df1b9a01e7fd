// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/hpack_decoder.h"

#include "lib/http/h2/huffman.h"

namespace meltemi::http::h2 {
namespace {

enum class Number : uint8_t { kDone, kMore, kTooLarge };

// RFC 7541 §5.1. Bounded: no index, length or size of ours comes near 2^28.
Number ReadNumber(const char*& at, const char* end, int prefix_bits, uint64_t& value) {
  const uint64_t mask = (1u << prefix_bits) - 1;
  const char* from = at;
  value = static_cast<uint8_t>(*from++) & mask;
  if (value == mask) {
    for (int shift = 0;; shift += 7) {
      if (shift > 21) return Number::kTooLarge;
      if (from == end) return Number::kMore;
      const auto byte = static_cast<uint8_t>(*from++);
      value += uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) break;
    }
  }
  at = from;
  return Number::kDone;
}

}  // namespace

void HpackDecoder::SetTableLimit(size_t bytes) {
  if (bytes < table_.size_max()) needs_update_ = true;
  table_limit_ = bytes;
}

bool HpackDecoder::Decode(std::string_view piece, bool is_last, FieldSink& sink) {
  const bool has_tail = !tail_.empty();
  if (has_tail) {
    tail_.append(piece);
    piece = tail_;
  }
  const char* at = piece.data();
  const char* const end = at + piece.size();
  while (at != end) {
    const Step step = DecodeOne(at, end, sink);
    if (step == Step::kError || (step == Step::kMore && is_last)) return false;
    if (step == Step::kMore) break;
  }
  if (has_tail) {
    tail_.erase(0, static_cast<size_t>(at - piece.data()));
  } else if (at != end) {
    tail_.assign(at, end);
  }
  if (is_last) EndBlock();
  return true;
}

void HpackDecoder::EndBlock() {
  is_at_start_ = true;
  // What one large field needed is not kept for the connection's life.
  for (std::string* text : {&tail_, &name_scratch_, &value_scratch_}) {
    if (text->capacity() > kScratchBytesKept) std::string().swap(*text);
  }
}

HpackDecoder::Step HpackDecoder::DecodeOne(const char*& at, const char* end, FieldSink& sink) {
  const auto first = static_cast<uint8_t>(*at);
  if ((first & 0xe0) == 0x20) return DecodeSize(at, end);
  if (needs_update_) return Step::kError;
  is_at_start_ = false;
  if ((first & 0x80) == 0) {
    const bool is_indexed = (first & 0x40) != 0;
    return DecodeLiteral(at, end, is_indexed ? 6 : 4, is_indexed, sink);
  }
  uint64_t index = 0;
  switch (ReadNumber(at, end, 7, index)) {
    case Number::kMore:
      return Step::kMore;
    case Number::kTooLarge:
      return Step::kError;
    case Number::kDone:
      break;
  }
  Field field;
  if (!Look(index, field)) return Step::kError;
  sink.OnField(field);
  return Step::kDone;
}

bool HpackDecoder::Look(uint64_t index, Field& field) const {
  if (index == 0) return false;
  if (index <= kStaticFields) {
    const StaticField& found = StaticFieldAt(index);
    field = {found.name, found.value, static_tags_[index - 1]};
    return true;
  }
  const size_t age = index - kStaticFields - 1;
  if (age >= table_.count()) return false;
  field = table_.At(age);
  return true;
}

HpackDecoder::Step HpackDecoder::DecodeLiteral(const char*& at, const char* end, int prefix_bits,
                                               bool is_indexed, FieldSink& sink) {
  const char* from = at;
  uint64_t index = 0;
  const Number number = ReadNumber(from, end, prefix_bits, index);
  if (number != Number::kDone) return number == Number::kMore ? Step::kMore : Step::kError;
  Field field;
  if (index == 0) {
    const Step step = DecodeString(from, end, name_scratch_, field.name);
    if (step != Step::kDone) return step;
  } else if (!Look(index, field)) {
    return Step::kError;
  }
  const Step step = DecodeString(from, end, value_scratch_, field.value);
  if (step != Step::kDone) return step;
  at = from;
  field.tag = TagField(field.name, field.value);
  // Told first: to enter it may take an evicted name away.
  sink.OnField(field);
  if (is_indexed) table_.Add(field.name, field.value, field.tag);
  return Step::kDone;
}

HpackDecoder::Step HpackDecoder::DecodeSize(const char*& at, const char* end) {
  // §4.2: only where a block begins.
  if (!is_at_start_) return Step::kError;
  uint64_t size = 0;
  const Number number = ReadNumber(at, end, 5, size);
  if (number != Number::kDone) return number == Number::kMore ? Step::kMore : Step::kError;
  if (size > table_limit_) return Step::kError;
  table_.SetSizeMax(size);
  needs_update_ = false;
  return Step::kDone;
}

HpackDecoder::Step HpackDecoder::DecodeString(const char*& at, const char* end,
                                              std::string& scratch, std::string_view& text) {
  if (at == end) return Step::kMore;
  const bool is_coded = (static_cast<uint8_t>(*at) & 0x80) != 0;
  const char* from = at;
  uint64_t size = 0;
  const Number number = ReadNumber(from, end, 7, size);
  if (number == Number::kTooLarge || size > string_limit_) return Step::kError;
  if (number == Number::kMore || size > static_cast<size_t>(end - from)) return Step::kMore;
  text = {from, size};
  at = from + size;
  if (!is_coded) return Step::kDone;
  if (scratch.size() < HuffmanDecodedMax(size)) scratch.resize(HuffmanDecodedMax(size));
  const std::optional<size_t> decoded = HuffmanDecode(text, scratch.data());
  if (!decoded) return Step::kError;
  text = {scratch.data(), *decoded};
  return Step::kDone;
}

}  // namespace meltemi::http::h2
