// SPDX-License-Identifier: Apache-2.0
// Which of an ordered list of path matchers may match a path, without trying them all. Candidates
// come in the list's order, so the first that fully matches is the one a linear scan would find.
// Immutable once built.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/routing/string_match.h"

namespace meltemi::routing {

struct PathMatch {
  enum class Kind : uint8_t { kPrefix, kSeparatedPrefix, kExact, kRegex, kConnect };
  Kind kind = Kind::kPrefix;
  bool is_case_sensitive = true;
  std::string text;
  std::shared_ptr<const re2::RE2> regex;

  // `path` without query; `is_connect` = the request is a CONNECT.
  bool Matches(std::string_view path, bool is_connect) const;
};

class PathIndex final {
 public:
  // `matchers` in the order of the routes; they need not outlive the index.
  explicit PathIndex(const std::vector<const PathMatch*>& matchers);

  // Calls `accept(route)` for each candidate in order until it returns true; returns that route, or
  // -1.
  template <typename Accept>
  int64_t FirstOf(std::string_view path, Accept accept) const;

 private:
  // A path nested in more prefixes than this is matched by a plain scan.
  static constexpr size_t kCursorsMax = 24;
  struct Cursor {
    const uint32_t* at;
    const uint32_t* end;
  };
  struct Prefix {
    std::string text;
    int32_t parent = -1;  // the longest other prefix this one begins with
    std::vector<uint32_t> routes;
  };
  // Fills `cursors`; returns their number, or kCursorsMax + 1 when they are too many.
  size_t Gather(std::string_view path, std::array<Cursor, kCursorsMax>& cursors) const;

  uint32_t routes_ = 0;
  bool is_scanned_ = false;  // too few routes for an index to pay
  absl::flat_hash_map<std::string, std::vector<uint32_t>> exact_;
  std::vector<Prefix> prefixes_;  // sorted by text
  std::vector<uint32_t> others_;  // regular expressions, CONNECT, case-insensitive
};

template <typename Accept>
int64_t PathIndex::FirstOf(std::string_view path, Accept accept) const {
  std::array<Cursor, kCursorsMax> cursors;
  size_t count = is_scanned_ ? kCursorsMax + 1 : Gather(path, cursors);
  if (count > kCursorsMax) {
    for (uint32_t route = 0; route < routes_; ++route) {
      if (accept(route)) return route;
    }
    return -1;
  }
  while (count > 0) {
    size_t least = 0;
    for (size_t i = 1; i < count; ++i) {
      if (*cursors[i].at < *cursors[least].at) least = i;
    }
    const uint32_t route = *cursors[least].at;
    if (accept(route)) return route;
    if (++cursors[least].at == cursors[least].end) cursors[least] = cursors[--count];
  }
  return -1;
}

}  // namespace meltemi::routing
