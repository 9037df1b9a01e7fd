// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/string_match.h"

#include <fmt/format.h>

#include <algorithm>

namespace meltemi::routing {
namespace {

constexpr size_t kRegexBytesMax = 8192;
constexpr int64_t kRegexProgramBytesMax = 8 << 20;

bool ContainsIgnoringCase(std::string_view text, std::string_view lower) {
  return std::search(text.begin(), text.end(), lower.begin(), lower.end(),
                     [](char a, char b) { return ToLower(a) == b; }) != text.end();
}

}  // namespace

StatusOr<std::shared_ptr<const re2::RE2>> CompileRegex(std::string_view pattern) {
  if (pattern.size() > kRegexBytesMax) {
    return absl::InvalidArgumentError(fmt::format("regular expression of {} bytes: the limit is {}",
                                                  pattern.size(), kRegexBytesMax));
  }
  re2::RE2::Options options;
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_log_errors(false);
  options.set_max_mem(kRegexProgramBytesMax);
  auto regex =
      std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!regex->ok()) {
    return absl::InvalidArgumentError(
        fmt::format("regular expression \"{}\": {}", pattern, regex->error()));
  }
  return regex;
}

char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), ToLower);
  return lower;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return ToLower(x) == ToLower(y);
         });
}

StatusOr<StringMatch> StringMatch::Create(Kind kind, std::string_view text, bool ignores_case) {
  StringMatch match;
  match.kind_ = kind;
  match.ignores_case_ = ignores_case;
  match.text_ = ignores_case && kind != Kind::kRegex ? LowerCase(text) : std::string(text);
  if (kind == Kind::kRegex) {
    // Envoy takes ignore_case for every pattern but a regex, whose own flags say it.
    MELTEMI_ASSIGN_OR_RETURN(match.regex_, CompileRegex(text));
  } else if (text.empty() && kind != Kind::kExact) {
    return absl::InvalidArgumentError("an empty prefix, suffix or contained text matches anything");
  }
  return match;
}

StringMatch StringMatch::Exact(std::string_view text) {
  StringMatch match;
  match.text_ = std::string(text);
  return match;
}

bool StringMatch::Matches(std::string_view text) const {
  const size_t n = text_.size();
  switch (kind_) {
    case Kind::kExact:
      return ignores_case_ ? EqualsIgnoringCase(text, text_) : text == text_;
    case Kind::kPrefix:
      if (text.size() < n) return false;
      return ignores_case_ ? EqualsIgnoringCase(text.substr(0, n), text_) : text.starts_with(text_);
    case Kind::kSuffix:
      if (text.size() < n) return false;
      return ignores_case_ ? EqualsIgnoringCase(text.substr(text.size() - n), text_)
                           : text.ends_with(text_);
    case Kind::kContains:
      return ignores_case_ ? ContainsIgnoringCase(text, text_)
                           : text.find(text_) != std::string_view::npos;
    case Kind::kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
  }
  return false;
}

}  // namespace meltemi::routing
