// SPDX-License-Identifier: Apache-2.0
#include "lib/config/duration.h"

#include <array>
#include <cstdint>

namespace meltemi::config {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanoseconds;
};

// Longer names first: "m" begins "ms".
constexpr std::array kUnits = {
    Unit{"ns", 1},
    Unit{"us", 1000},
    Unit{"\xC2\xB5s", 1000},  // µs, the micro sign
    Unit{"\xCE\xBCs", 1000},  // μs, the Greek letter
    Unit{"ms", 1'000'000},
    Unit{"s", 1'000'000'000},
    Unit{"m", 60'000'000'000},
    Unit{"h", 3'600'000'000'000},
};

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool AddTimes(int64_t& sum, int64_t count, int64_t unit) {
  int64_t product = 0;
  return !__builtin_mul_overflow(count, unit, &product) &&
         !__builtin_add_overflow(sum, product, &sum);
}

// One "1.5h" of the text, taken off its front.
bool TakePart(std::string_view& text, int64_t& sum) {
  int64_t whole = 0;
  size_t digits = 0, at = 0;
  for (; at < text.size() && IsDigit(text[at]); ++at, ++digits) {
    if (__builtin_mul_overflow(whole, 10, &whole) ||
        __builtin_add_overflow(whole, text[at] - '0', &whole)) {
      return false;
    }
  }
  int64_t fraction = 0, scale = 1;
  if (at < text.size() && text[at] == '.') {
    for (++at; at < text.size() && IsDigit(text[at]); ++at, ++digits) {
      if (scale >= 1'000'000'000'000) continue;  // below a nanosecond even in hours
      fraction = fraction * 10 + (text[at] - '0');
      scale *= 10;
    }
  }
  if (digits == 0) return false;
  text.remove_prefix(at);
  for (const Unit& unit : kUnits) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    const __int128 part = static_cast<__int128>(fraction) * unit.nanoseconds / scale;
    return AddTimes(sum, whole, unit.nanoseconds) && AddTimes(sum, static_cast<int64_t>(part), 1);
  }
  return false;
}

}  // namespace

std::optional<Duration> ParseDuration(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return Duration(0);
  if (text.empty()) return std::nullopt;
  int64_t sum = 0;
  while (!text.empty()) {
    if (!TakePart(text, sum)) return std::nullopt;
  }
  return Duration(is_negative ? -sum : sum);
}

}  // namespace meltemi::config
