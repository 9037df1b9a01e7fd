// SPDX-License-Identifier: Apache-2.0
#include "lib/config/yaml_scalar.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace meltemi::config {
namespace {

using Json = nlohmann::json;

constexpr size_t kNumberBytesMax = 400;  // more digits than any double needs

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsAmong(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::optional<Json> Word(std::string_view text) {
  if (text.size() > 5) return std::nullopt;
  if (IsAmong(text, {"", "~", "null", "Null", "NULL"})) return Json(nullptr);
  if (IsAmong(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})) {
    return Json(true);
  }
  if (IsAmong(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})) {
    return Json(false);
  }
  if (IsAmong(text, {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
                     ".nan", ".NaN", ".NAN"})) {
    return Json(Json::value_t::discarded);
  }
  return std::nullopt;
}

// Go's ParseInt with base 0.
std::optional<Json> Integer(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = text[1] | 0x20;
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    text.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!is_negative) {
    return value <= INT64_MAX ? Json(static_cast<int64_t>(value)) : Json(value);
  }
  if (value > static_cast<uint64_t>(INT64_MAX) + 1) return std::nullopt;
  return Json(static_cast<int64_t>(0 - value));
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool LooksLikeFloat(std::string_view text) {
  size_t at = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const auto digits = [&] {
    const size_t from = at;
    while (at < text.size() && IsDigit(text[at])) ++at;
    return at - from;
  };
  const size_t whole = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0 && whole == 0) return false;
  } else if (whole == 0) {
    return false;
  }
  if (at < text.size() && (text[at] | 0x20) == 'e') {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

std::optional<Json> Float(std::string_view text) {
  if (!LooksLikeFloat(text)) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return Json(value);
}

}  // namespace

Json ResolvePlainScalar(std::string_view text) {
  if (std::optional<Json> word = Word(text)) return *std::move(word);
  const char first = text[0];
  const bool may_be_number = IsDigit(first) || first == '-' || first == '+' || first == '.';
  if (!may_be_number || text.size() > kNumberBytesMax) return Json(text);
  std::string digits(text);  // 1_000 is a number
  if (first != '.') digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  if (std::optional<Json> integer = Integer(digits)) return *std::move(integer);
  if (std::optional<Json> real = Float(digits)) return *std::move(real);
  return Json(text);
}

}  // namespace meltemi::config
