// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/response_flags.h"

#include <bit>
#include <cstring>
#include <iterator>

namespace meltemi::proxy {
namespace {

struct Names {
  std::string_view short_name;
  std::string_view long_name;
};

constexpr Names kNames[] = {
#define MELTEMI_FLAG(id, short_name, long_name) {short_name, long_name},
#include "proxy/http/response_flags.def"
#undef MELTEMI_FLAG
};
static_assert(std::size(kNames) == static_cast<size_t>(ResponseFlag::kCount));

std::string_view Join(uint32_t bits, std::string_view Names::* name, Arena& arena) {
  if (bits == 0) return "-";
  if (std::has_single_bit(bits)) return kNames[std::countr_zero(bits)].*name;
  size_t bytes = 0;
  for (uint32_t rest = bits; rest != 0; rest &= rest - 1) {
    bytes += (kNames[std::countr_zero(rest)].*name).size() + 1;
  }
  char* const text = arena.Allocate(bytes);
  char* to = text;
  for (uint32_t rest = bits; rest != 0; rest &= rest - 1) {
    const std::string_view one = kNames[std::countr_zero(rest)].*name;
    std::memcpy(to, one.data(), one.size());
    to += one.size();
    *to++ = ',';
  }
  return {text, bytes - 1};
}

}  // namespace

std::string_view ResponseFlags::Short(Arena& arena) const {
  return Join(bits_, &Names::short_name, arena);
}

std::string_view ResponseFlags::Long(Arena& arena) const {
  return Join(bits_, &Names::long_name, arena);
}

}  // namespace meltemi::proxy
