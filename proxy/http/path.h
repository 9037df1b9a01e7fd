// SPDX-License-Identifier: Apache-2.0
// Request targets made canonical before anything judges them: RFC 3986 §6.2.2, slashes, fragments.
// Pure; results live in the arena, or are the input when nothing changed.
#pragma once

#include <string_view>

#include "lib/base/arena.h"

namespace meltemi::proxy {

struct PathResult {
  bool is_valid = true;
  std::string_view path;  // with query
};

// Dot segments removed, "\" read as "/", unreserved characters un-escaped, those that may not stand
// in a path escaped. A ".." with parameters ("/..;a=b") counts as "..". Invalid: "%00".
PathResult NormalizePath(std::string_view path, Arena& arena);
std::string_view MergeSlashes(std::string_view path, Arena& arena);
// Whether the path part holds %2F or %5C, in any case.
bool HasEscapedSlashes(std::string_view path);
std::string_view UnescapeSlashes(std::string_view path, Arena& arena);
std::string_view WithoutFragment(std::string_view path);

}  // namespace meltemi::proxy
