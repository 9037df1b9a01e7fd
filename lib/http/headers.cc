// SPDX-License-Identifier: Apache-2.0
#include "lib/http/headers.h"

#include <algorithm>

namespace meltemi::http {
namespace {

constexpr std::string_view kNames[] = {
    "",
#define MELTEMI_HEADER(id, name) name,
#include "lib/http/header_names.def"
#undef MELTEMI_HEADER
};
constexpr size_t kSlots = 512;

struct Seeds {
  uint32_t first, middle, last;
};

// Length and three characters tell all well-known names apart; the seeds spread them over the
// slots.
constexpr uint32_t Slot(std::string_view name, Seeds seeds) {
  const auto at = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(name[i])); };
  const uint32_t hash = static_cast<uint32_t>(name.size()) * 0x9E3779B1u + at(0) * seeds.first +
                        at(name.size() / 2) * seeds.middle + at(name.size() - 1) * seeds.last;
  return (hash >> 16) % kSlots;
}

struct PerfectTable {
  Seeds seeds{};
  std::array<uint8_t, kSlots> id{};
  bool is_perfect = false;
};

constexpr PerfectTable BuildTable() {
  PerfectTable table;
  uint32_t state = 1;
  const auto next = [&] { return state = state * 1664525u + 1013904223u; };
  for (int attempt = 0; attempt < 500 && !table.is_perfect; ++attempt) {
    table.seeds = {next() | 1, next() | 1, next() | 1};
    table.id = {};
    table.is_perfect = true;
    for (size_t i = 1; i < std::size(kNames) && table.is_perfect; ++i) {
      uint8_t& slot = table.id[Slot(kNames[i], table.seeds)];
      if (slot != 0) table.is_perfect = false;
      slot = static_cast<uint8_t>(i);
    }
  }
  return table;
}

constexpr PerfectTable kTable = BuildTable();
static_assert(kTable.is_perfect, "two well-known names share length and three characters");
static_assert(std::size(kNames) == static_cast<size_t>(HeaderId::kCount));

}  // namespace

HeaderId LookUpHeader(std::string_view lower_case_name) {
  if (lower_case_name.empty()) return HeaderId::kOther;
  const uint8_t id = kTable.id[Slot(lower_case_name, kTable.seeds)];
  return kNames[id] == lower_case_name ? static_cast<HeaderId>(id) : HeaderId::kOther;
}

std::string_view HeaderName(HeaderId id) {
  return kNames[static_cast<size_t>(id)];
}

void HeaderMap::Add(std::string_view name, std::string_view value) {
  const HeaderId id = LookUpHeader(name);
  const std::string_view kept = id == HeaderId::kOther ? arena_.Copy(name) : HeaderName(id);
  fields_.push_back({kept, arena_.Copy(value), id});
}

void HeaderMap::Add(HeaderId id, std::string_view value) {
  fields_.push_back({HeaderName(id), arena_.Copy(value), id});
}

void HeaderMap::Set(HeaderId id, std::string_view value) {
  const auto matches = [id](const HeaderField& field) { return field.id == id; };
  const auto first = std::find_if(fields_.begin(), fields_.end(), matches);
  if (first == fields_.end()) return Add(id, value);
  first->value = arena_.Copy(value);
  fields_.erase(std::remove_if(first + 1, fields_.end(), matches), fields_.end());
}

void HeaderMap::Set(std::string_view name, std::string_view value) {
  const HeaderId id = LookUpHeader(name);
  if (id != HeaderId::kOther) return Set(id, value);
  const auto matches = [name](const HeaderField& field) { return field.name == name; };
  const auto first = std::find_if(fields_.begin(), fields_.end(), matches);
  if (first == fields_.end()) return Add(name, value);
  first->value = arena_.Copy(value);
  fields_.erase(std::remove_if(first + 1, fields_.end(), matches), fields_.end());
}

void HeaderMap::Remove(HeaderId id) {
  std::erase_if(fields_, [id](const HeaderField& field) { return field.id == id; });
}

void HeaderMap::Remove(std::string_view name) {
  std::erase_if(fields_, [name](const HeaderField& field) { return field.name == name; });
}

const std::string_view* HeaderMap::Find(HeaderId id) const {
  for (const HeaderField& field : fields_) {
    if (field.id == id) return &field.value;
  }
  return nullptr;
}

const std::string_view* HeaderMap::Find(std::string_view name) const {
  const HeaderId id = LookUpHeader(name);
  if (id != HeaderId::kOther) return Find(id);
  for (const HeaderField& field : fields_) {
    if (field.id == HeaderId::kOther && field.name == name) return &field.value;
  }
  return nullptr;
}

std::string_view HeaderMap::Joined(std::string_view name) const {
  size_t count = 0;
  size_t bytes = 0;
  const std::string_view* only = nullptr;
  for (const HeaderField& field : fields_) {
    if (field.name != name) continue;
    only = &field.value;
    bytes += field.value.size() + 1;
    ++count;
  }
  if (count == 0) return {};
  if (count == 1) return *only;
  char* const joined = arena_.Allocate(bytes);
  char* to = joined;
  for (const HeaderField& field : fields_) {
    if (field.name != name) continue;
    if (to != joined) *to++ = ',';
    to = std::copy(field.value.begin(), field.value.end(), to);
  }
  return {joined, static_cast<size_t>(to - joined)};
}

size_t HeaderMap::bytes() const {
  size_t sum = 0;
  for (const HeaderField& field : fields_) sum += field.name.size() + field.value.size();
  return sum;
}

}  // namespace meltemi::http
