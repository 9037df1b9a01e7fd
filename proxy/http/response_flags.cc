// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/response_flags.h"

#include <algorithm>
#include <iterator>
#include <span>

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

std::string_view Join(std::span<const ResponseFlag> flags, std::string_view Names::* name,
                      Arena& arena) {
  if (flags.empty()) return "-";
  const auto text_of = [&](ResponseFlag flag) { return kNames[static_cast<int>(flag)].*name; };
  if (flags.size() == 1) return text_of(flags[0]);
  size_t bytes = 0;
  for (const ResponseFlag flag : flags) bytes += text_of(flag).size() + 1;
  char* const text = arena.Allocate(bytes);
  char* to = text;
  for (const ResponseFlag flag : flags) {
    to = std::copy_n(text_of(flag).data(), text_of(flag).size(), to);
    *to++ = ',';
  }
  return {text, bytes - 1};
}

}  // namespace

std::string_view ResponseFlags::Short(Arena& arena) const {
  return Join({order_.data(), count_}, &Names::short_name, arena);
}

std::string_view ResponseFlags::Long(Arena& arena) const {
  return Join({order_.data(), count_}, &Names::long_name, arena);
}

}  // namespace meltemi::proxy
