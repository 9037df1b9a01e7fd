// SPDX-License-Identifier: Apache-2.0
// One comparison of a text with a pattern, compiled at load. Immutable, thread-safe.
// Regular expressions are RE2 over Latin-1, matched in full: bytes beyond ASCII can neither fail to
// parse nor slip past a negated rule.
#pragma once

#include <re2/re2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::routing {

// Compiles `pattern`; the error names it and says what is wrong.
StatusOr<std::shared_ptr<const re2::RE2>> CompileRegex(std::string_view pattern);

// ASCII only, as host names and header names are.
char ToLower(char c);
std::string LowerCase(std::string_view text);
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

class StringMatch final {
 public:
  enum class Kind : uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex };

  static StatusOr<StringMatch> Create(Kind kind, std::string_view text, bool ignores_case = false);
  static StringMatch Exact(std::string_view text);

  bool Matches(std::string_view text) const;
  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }

 private:
  StringMatch() = default;
  Kind kind_ = Kind::kExact;
  bool ignores_case_ = false;
  std::string text_;  // lower case when case is ignored
  std::shared_ptr<const re2::RE2> regex_;
};

}  // namespace meltemi::routing
