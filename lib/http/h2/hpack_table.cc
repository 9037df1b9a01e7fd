// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/hpack_table.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/http/h1/characters.h"

namespace meltemi::http::h2 {

constinit const std::array<StaticField, kStaticFields> kStaticTable = {{
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
}};

namespace {

std::array<FieldTag, kStaticFields> TagStatic() {
  std::array<FieldTag, kStaticFields> tags;
  for (size_t i = 0; i < kStaticFields; ++i)
    tags[i] = TagField(kStaticTable[i].name, kStaticTable[i].value);
  return tags;
}

Pseudo FindPseudo(std::string_view name) {
  if (name == ":method") return Pseudo::kMethod;
  if (name == ":scheme") return Pseudo::kScheme;
  if (name == ":authority") return Pseudo::kAuthority;
  if (name == ":path") return Pseudo::kPath;
  if (name == ":status") return Pseudo::kStatus;
  if (name == ":protocol") return Pseudo::kProtocol;
  return Pseudo::kUnknown;
}

bool IsName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return h1::kTokenLower[static_cast<uint8_t>(c)] == c && c != '\0';
  });
}

bool IsBlank(char c) {
  return c == ' ' || c == '\t';
}

// RFC 9113 §8.2.1: no controls (but HTAB), no space at either end.
bool IsValue(std::string_view value) {
  if (value.empty()) return true;
  if (IsBlank(value.front()) || IsBlank(value.back())) return false;
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\t';
  });
}

}  // namespace

FieldTag TagField(std::string_view name, std::string_view value) {
  FieldTag tag;
  if (name.starts_with(':')) {
    tag.pseudo = FindPseudo(name);
    tag.is_well_formed = tag.pseudo != Pseudo::kUnknown && IsValue(value);
    return tag;
  }
  tag.id = LookUpHeader(name);
  tag.is_well_formed = (tag.id != HeaderId::kOther || IsName(name)) && IsValue(value);
  return tag;
}

const std::array<FieldTag, kStaticFields>& StaticTags() {
  static const std::array<FieldTag, kStaticFields> kTags = TagStatic();
  return kTags;
}

void DynamicTable::SetSizeMax(size_t size) {
  size_max_ = size;
  EvictTo(size);
}

void DynamicTable::EvictTo(size_t size) {
  while (size_ > size) {
    const Entry& oldest = Slot(inserted_ - static_cast<uint32_t>(count_));
    size_ -= oldest.name_bytes + oldest.value_bytes + kEntryOverhead;
    --count_;
  }
}

void DynamicTable::Add(std::string_view name, std::string_view value, FieldTag tag) {
  const size_t needed = SizeOf(name, value);
  if (needed > size_max_) return EvictTo(0);
  // Eviction and growth may take the text from under a name that is of the table itself.
  const char* const begin = text_.data();
  if (name.data() >= begin && name.data() < begin + text_.size()) {
    spare_.assign(name.begin(), name.end());
    name = {spare_.data(), spare_.size()};
  }
  EvictTo(size_max_ - needed);
  if (count_ == ring_.size()) GrowRing();
  // At least a byte, so that an arena with entries is never mistaken for one that has wrapped.
  const uint32_t at = Place(std::max<size_t>(1, name.size() + value.size()));
  if (!name.empty()) std::memcpy(text_.data() + at, name.data(), name.size());
  if (!value.empty()) std::memcpy(text_.data() + at + name.size(), value.data(), value.size());
  Slot(inserted_) = {at, static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size()),
                     tag};
  ++inserted_;
  ++count_;
  size_ += needed;
}

// Finds `bytes` in one piece.
uint32_t DynamicTable::Place(size_t bytes) {
  for (;;) {
    if (count_ == 0) head_ = 0;
    const size_t tail = count_ == 0 ? 0 : Slot(inserted_ - static_cast<uint32_t>(count_)).offset;
    const bool is_wrapped = count_ != 0 && head_ <= tail;
    const size_t end = is_wrapped ? tail : text_.size();
    if (head_ + bytes <= end) break;
    if (!is_wrapped && bytes <= tail) {
      head_ = 0;
      break;
    }
    GrowText(bytes);
  }
  const uint32_t at = head_;
  head_ += static_cast<uint32_t>(bytes);
  return at;
}

// Copies the entries together into a larger arena. Twice size_max_ always suffices, so this ends
// below four times that.
void DynamicTable::GrowText(size_t bytes) {
  constexpr size_t kFirstBytes = 512;
  std::vector<char> grown(std::max({kFirstBytes, 2 * text_.size(), size_ + bytes}));
  uint32_t at = 0;
  for (size_t i = count_; i > 0; --i) {
    Entry& entry = Slot(inserted_ - static_cast<uint32_t>(i));
    const size_t size = std::max(1u, entry.name_bytes + entry.value_bytes);
    std::memcpy(grown.data() + at, text_.data() + entry.offset, size);
    entry.offset = at;
    at += static_cast<uint32_t>(size);
  }
  head_ = at;
  text_ = std::move(grown);
}

void DynamicTable::GrowRing() {
  std::vector<Entry> grown(std::max<size_t>(16, 2 * ring_.size()));
  for (size_t i = count_; i > 0; --i) {
    const uint32_t number = inserted_ - static_cast<uint32_t>(i);
    grown[number & (grown.size() - 1)] = Slot(number);
  }
  ring_ = std::move(grown);
}

}  // namespace meltemi::http::h2
