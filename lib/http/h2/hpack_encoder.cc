// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/hpack_encoder.h"

#include <algorithm>
#include <cstring>

#include "lib/http/h2/huffman.h"

namespace meltemi::http::h2 {
namespace {

constexpr uint8_t kIndexed = 0x80;
constexpr uint8_t kLiteralEntered = 0x40;
constexpr uint8_t kTableSize = 0x20;
constexpr uint8_t kLiteralNever = 0x10;
constexpr uint8_t kLiteral = 0x00;
constexpr size_t kNumberBytesMax = 6;

uint64_t Mix(uint64_t value) {
  value *= 0x9E3779B97F4A7C15u;
  return value ^ value >> 32;
}

// Length and four characters; names that share them share a slot, no more.
uint32_t HashName(std::string_view name) {
  if (name.empty()) return 0;
  const auto at = [&](size_t i) { return uint64_t{static_cast<uint8_t>(name[i])}; };
  const size_t last = name.size() - 1;
  const uint64_t key =
      name.size() << 32 | at(last) << 24 | at(last / 2) << 16 | at(last - last / 4) << 8 | at(0);
  return static_cast<uint32_t>(Mix(key));
}

uint32_t HashField(uint32_t name, std::string_view value) {
  uint64_t hash = name + value.size();
  const char* at = value.data();
  size_t left = value.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = Mix(hash ^ word);
  }
  uint64_t word = 0;
  if (left != 0) std::memcpy(&word, at, left);
  return static_cast<uint32_t>(Mix(hash ^ word)) | 1;  // 0 is an empty slot
}

char* WriteNumber(char* to, uint8_t pattern, int prefix_bits, uint64_t value) {
  const uint64_t mask = (1u << prefix_bits) - 1;
  if (value < mask) {
    *to++ = static_cast<char>(pattern | value);
    return to;
  }
  *to++ = static_cast<char>(pattern | mask);
  for (value -= mask; value >= 0x80; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

char* WriteString(char* to, std::string_view text) {
  const size_t coded = HuffmanSize(text);
  if (coded < text.size()) {
    return HuffmanEncode(text, WriteNumber(to, 0x80, 7, coded));
  }
  to = WriteNumber(to, 0, 7, text.size());
  return std::copy(text.begin(), text.end(), to);
}

// Where the names of the static table stand (the first of each).
class StaticNames final {
 public:
  StaticNames() {
    for (size_t i = kStaticFields; i > 0; --i) {
      size_t slot = HashName(StaticFieldAt(i).name) % kSlots;
      while (slots_[slot] != 0 && StaticFieldAt(slots_[slot]).name != StaticFieldAt(i).name) {
        slot = (slot + 1) % kSlots;
      }
      slots_[slot] = static_cast<uint8_t>(i);
    }
  }
  size_t Find(std::string_view name, uint32_t hash) const {
    for (size_t slot = hash % kSlots; slots_[slot] != 0; slot = (slot + 1) % kSlots) {
      if (StaticFieldAt(slots_[slot]).name == name) return slots_[slot];
    }
    return 0;
  }

 private:
  static constexpr size_t kSlots = 256;
  std::array<uint8_t, kSlots> slots_{};
};

const StaticNames& Names() {
  static const StaticNames kNames;
  return kNames;
}

// Entries of one name stand together; only these names have values.
size_t FindStaticValue(size_t first, std::string_view value) {
  size_t last = first;
  switch (first) {
    case 2:  // :method
    case 4:  // :path
    case 6:  // :scheme
      last = first + 1;
      break;
    case 8:  // :status
      last = 14;
      break;
    case 16:  // accept-encoding
      break;
    default:
      return 0;
  }
  for (size_t i = first; i <= last; ++i) {
    if (StaticFieldAt(i).value == value) return i;
  }
  return 0;
}

bool IsSecret(HeaderId id, std::string_view name, std::string_view value) {
  switch (id) {
    case HeaderId::kAuthorization:
    case HeaderId::kSetCookie:
      return true;
    case HeaderId::kCookie:
      return value.size() < HpackEncoder::kGuessableCookieBytes;
    case HeaderId::kOther:
      return name == "proxy-authorization";
    default:
      return false;
  }
}

}  // namespace

void HpackEncoder::SetTableSize(size_t bytes) {
  if (bytes == table_.size_max() && !has_new_size_) return;
  smallest_size_ = has_new_size_ ? std::min(smallest_size_, bytes) : bytes;
  has_new_size_ = true;
  table_.SetSizeMax(bytes);
}

void HpackEncoder::BeginBlock(net::Buffer& out) {
  if (!has_new_size_) return;
  has_new_size_ = false;
  // Both the lowest and the last one (§4.2): entries went at the lowest.
  char text[2 * kNumberBytesMax];
  char* to = text;
  if (smallest_size_ < table_.size_max()) to = WriteNumber(to, kTableSize, 5, smallest_size_);
  to = WriteNumber(to, kTableSize, 5, table_.size_max());
  out.Append({text, static_cast<size_t>(to - text)});
}

size_t HpackEncoder::FindName(std::string_view name, uint32_t hash) const {
  const uint32_t number = names_[hash % kNameSlots];
  if (!table_.has(number)) return 0;
  const size_t age = table_.inserted() - 1 - number;
  return table_.At(age).name == name ? kStaticFields + 1 + age : 0;
}

void HpackEncoder::Encode(HeaderId id, std::string_view name, std::string_view value,
                          net::Buffer& out) {
  char* const begin = out.Reserve(3 * kNumberBytesMax + name.size() + value.size());
  const uint32_t name_hash = HashName(name);
  const uint32_t hash = HashField(name_hash, value);
  char* to = begin;
  const Slot* slot = &First(hash);
  if (!IsIn(*slot, hash, name, value)) slot = &Second(hash);
  if (IsIn(*slot, hash, name, value)) {
    to = WriteNumber(to, kIndexed, 7, kStaticFields + table_.inserted() - slot->number);
  } else {
    to = EncodeNew(id, name, name_hash, value, hash, to);
  }
  out.Commit(static_cast<size_t>(to - begin));
}

bool HpackEncoder::IsIn(const Slot& slot, uint32_t hash, std::string_view name,
                        std::string_view value) const {
  if (slot.hash != hash || !table_.has(slot.number)) return false;
  const Field found = table_.At(table_.inserted() - 1 - slot.number);
  return found.name == name && found.value == value;
}

// Not in the dynamic table (yet).
char* HpackEncoder::EncodeNew(HeaderId id, std::string_view name, uint32_t name_hash,
                              std::string_view value, uint32_t hash, char* to) {
  size_t name_index = Names().Find(name, name_hash);
  const bool is_secret = IsSecret(id, name, value);
  const size_t whole_index = FindStaticValue(name_index, value);
  if (whole_index != 0) return WriteNumber(to, kIndexed, 7, whole_index);
  Slot& first = First(hash);
  const bool enters = !is_secret && first.seen == hash &&
                      DynamicTable::SizeOf(name, value) <= table_.size_max() / 2;
  first.seen = hash;
  if (name_index == 0) name_index = FindName(name, name_hash);
  to = is_secret ? WriteNumber(to, kLiteralNever, 4, name_index)
       : enters  ? WriteNumber(to, kLiteralEntered, 6, name_index)
                 : WriteNumber(to, kLiteral, 4, name_index);
  if (name_index == 0) to = WriteString(to, name);
  to = WriteString(to, value);
  if (enters) {
    Slot& slot = table_.has(first.number) ? Second(hash) : first;
    slot.hash = hash;
    slot.number = names_[name_hash % kNameSlots] = table_.inserted();
    table_.Add(name, value, {});
  }
  return to;
}

}  // namespace meltemi::http::h2
