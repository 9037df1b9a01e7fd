// SPDX-License-Identifier: Apache-2.0
// The two tables of header compression (RFC 7541 §2.3) and what is known of a field by its text.
// The dynamic table is a ring of entries over one byte arena: no allocation per entry, and the
// text of an entry stands in one piece. Worker-local, member of an encoder or a decoder.
//
// Invariant: the arena has room for twice the size that entries may have, and entries come and go
// in order, so a new one always fits behind the newest or at the arena's start.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/http/headers.h"

namespace meltemi::http::h2 {

enum class Pseudo : uint8_t {
  kNone,  // an ordinary field
  kMethod,
  kScheme,
  kAuthority,
  kPath,
  kStatus,
  kProtocol,
  kUnknown,  // starts with a colon, and nobody knows it
};

// What a field's text says whatever message it stands in; found out once per table entry.
struct FieldTag {
  HeaderId id = HeaderId::kOther;
  Pseudo pseudo = Pseudo::kNone;
  bool is_well_formed = false;  // RFC 9113 §8.2.1
};
FieldTag TagField(std::string_view name, std::string_view value);

struct Field {
  std::string_view name;
  std::string_view value;
  FieldTag tag;
};

struct StaticField {
  std::string_view name;
  std::string_view value;
};
inline constexpr size_t kStaticFields = 61;
// RFC 7541 appendix A; counted from one.
extern const std::array<StaticField, kStaticFields> kStaticTable;
inline const StaticField& StaticFieldAt(size_t index) {
  return kStaticTable[index - 1];
}
// By index less one.
const std::array<FieldTag, kStaticFields>& StaticTags();

class DynamicTable final {
 public:
  static constexpr size_t kEntryOverhead = 32;  // RFC 7541 §4.1

  static size_t SizeOf(std::string_view name, std::string_view value) {
    return name.size() + value.size() + kEntryOverhead;
  }

  size_t size_max() const { return size_max_; }
  size_t count() const { return count_; }
  // How many entries were ever added: the newest has the number inserted() - 1.
  uint32_t inserted() const { return inserted_; }
  bool has(uint32_t number) const { return inserted_ - number - 1 < count_; }

  // 0 is the newest. Requires: age < count(). Views last until the next Add.
  Field At(size_t age) const {
    const Entry& entry = Slot(inserted_ - 1 - static_cast<uint32_t>(age));
    const char* const text = text_.data() + entry.offset;
    return {{text, entry.name_bytes}, {text + entry.name_bytes, entry.value_bytes}, entry.tag};
  }

  void SetSizeMax(size_t size);
  // Evicts first. What is larger than the table only empties it. The texts may be of an entry.
  void Add(std::string_view name, std::string_view value, FieldTag tag);

 private:
  struct Entry {
    uint32_t offset;
    uint32_t name_bytes;
    uint32_t value_bytes;
    FieldTag tag;
  };
  void EvictTo(size_t size);
  uint32_t Place(size_t bytes);
  void GrowText(size_t bytes);
  void GrowRing();
  Entry& Slot(uint32_t number) { return ring_[number & (ring_.size() - 1)]; }
  const Entry& Slot(uint32_t number) const { return ring_[number & (ring_.size() - 1)]; }

  size_t size_max_ = 4096;  // RFC 9113 §6.5.2: the initial value
  size_t size_ = 0;
  size_t count_ = 0;
  uint32_t inserted_ = 0;
  uint32_t head_ = 0;  // where the next text goes
  std::vector<Entry> ring_;
  std::vector<char> text_;
  std::vector<char> spare_;  // an entry whose name is a reference to one about to go
};

}  // namespace meltemi::http::h2
