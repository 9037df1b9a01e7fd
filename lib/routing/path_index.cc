// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/path_index.h"

#include <algorithm>
#include <map>

#include "lib/base/status.h"

namespace meltemi::routing {
namespace {

constexpr size_t kScannedRoutesMax = 8;

bool StartsWith(std::string_view path, std::string_view prefix, bool is_case_sensitive) {
  if (path.size() < prefix.size()) return false;
  const std::string_view start = path.substr(0, prefix.size());
  return is_case_sensitive ? start == prefix : EqualsIgnoringCase(start, prefix);
}

}  // namespace

bool PathMatch::Matches(std::string_view path, bool is_connect) const {
  if (kind == Kind::kConnect) return is_connect;
  // A CONNECT has no path that anything else could match (Envoy).
  if (is_connect && path.empty()) return false;
  switch (kind) {
    case Kind::kPrefix:
      return StartsWith(path, text, is_case_sensitive);
    case Kind::kSeparatedPrefix:
      return StartsWith(path, text, is_case_sensitive) &&
             (path.size() == text.size() || path[text.size()] == '/');
    case Kind::kExact:
      return is_case_sensitive ? path == text : EqualsIgnoringCase(path, text);
    case Kind::kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(path.data(), path.size()), *regex);
    case Kind::kConnect:
      break;
  }
  return false;
}

PathIndex::PathIndex(const std::vector<const PathMatch*>& matchers)
    : routes_(static_cast<uint32_t>(matchers.size())),
      is_scanned_(matchers.size() <= kScannedRoutesMax) {
  if (is_scanned_) return;
  std::map<std::string, std::vector<uint32_t>> prefixes;
  for (uint32_t route = 0; route < routes_; ++route) {
    const PathMatch& match = *matchers[route];
    const bool is_prefix =
        match.kind == PathMatch::Kind::kPrefix || match.kind == PathMatch::Kind::kSeparatedPrefix;
    if (match.is_case_sensitive && is_prefix) {
      prefixes[match.text].push_back(route);
    } else if (match.is_case_sensitive && match.kind == PathMatch::Kind::kExact) {
      exact_[match.text].push_back(route);
    } else {
      others_.push_back(route);
    }
  }
  for (auto& [text, routes] : prefixes) {
    // In sorted order every prefix of `text` stands before it, and is an ancestor of its neighbour.
    int32_t parent = static_cast<int32_t>(prefixes_.size()) - 1;
    while (parent >= 0 && !text.starts_with(prefixes_[parent].text)) {
      parent = prefixes_[parent].parent;
    }
    prefixes_.push_back({text, parent, std::move(routes)});
  }
}

size_t PathIndex::Gather(std::string_view path, std::array<Cursor, kCursorsMax>& cursors) const {
  size_t count = 0;
  const auto add = [&](const std::vector<uint32_t>& routes) {
    if (routes.empty()) return;
    if (count < kCursorsMax) cursors[count] = {routes.data(), routes.data() + routes.size()};
    ++count;
  };
  add(others_);
  if (const auto it = exact_.find(ToAbsl(path)); it != exact_.end()) add(it->second);
  const auto after =
      std::upper_bound(prefixes_.begin(), prefixes_.end(), path,
                       [](std::string_view p, const Prefix& q) { return p < q.text; });
  int32_t at = static_cast<int32_t>(after - prefixes_.begin()) - 1;
  while (at >= 0 && !path.starts_with(prefixes_[at].text)) at = prefixes_[at].parent;
  for (; at >= 0 && count <= kCursorsMax; at = prefixes_[at].parent) add(prefixes_[at].routes);
  return std::min(count, kCursorsMax + 1);
}

}  // namespace meltemi::routing
