// SPDX-License-Identifier: Apache-2.0
// What a route may ask of a request besides its path: headers, query parameters, a share of
// requests. Immutable once compiled, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/http/message.h"
#include "lib/routing/string_match.h"

namespace meltemi::routing {

// A header by name, resolved once: pseudo headers are fields of the head, well-known names
// integers.
struct HeaderRef {
  enum class Pseudo : uint8_t { kNone, kMethod, kScheme, kAuthority, kPath, kStatus };
  std::string name;  // lower case
  http::HeaderId id = http::HeaderId::kOther;
  Pseudo pseudo = Pseudo::kNone;

  static HeaderRef Of(std::string_view name);
  bool Is(const http::HeaderField& field) const {
    return id != http::HeaderId::kOther ? field.id == id
                                        : field.id == http::HeaderId::kOther && field.name == name;
  }
};

// The value, several joined by ",", or nothing when absent. Allocates in the head's arena at most.
std::optional<std::string_view> ValueOf(const http::RequestHead& head, const HeaderRef& header);
std::optional<std::string_view> ValueOf(const http::HeaderMap& headers, const HeaderRef& header);

struct HeaderPredicate {
  enum class Kind : uint8_t { kPresent, kAbsent, kText, kRange };
  HeaderRef header;
  Kind kind = Kind::kPresent;
  bool is_inverted = false;
  bool treats_missing_as_empty = false;
  int64_t range_start = 0;  // kRange: [start, end)
  int64_t range_end = 0;
  std::optional<StringMatch> text;

  bool Matches(const http::RequestHead& head) const;
  bool Matches(const http::HeaderMap& headers) const;  // of a response

 private:
  bool Judge(std::optional<std::string_view> value) const;
};

// Value of a query parameter as sent (not percent-decoded), or nothing.
std::optional<std::string_view> QueryParameter(std::string_view path, std::string_view name);

struct QueryPredicate {
  std::string name;
  std::optional<StringMatch> text;  // nothing = must be present
  bool Matches(std::string_view path) const;
};

// A share of requests, decided by a random value that the caller draws.
struct Fraction {
  uint32_t numerator = 100;
  uint32_t denominator = 100;
  bool Selects(uint64_t random) const { return random % denominator < numerator; }
};

// Independent random values out of one, so that two decisions on one request do not go together.
constexpr uint64_t Mix(uint64_t random, uint64_t salt) {
  uint64_t z = random + 0x9e3779b97f4a7c15ULL * (salt + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace meltemi::routing
