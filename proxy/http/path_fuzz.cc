// SPDX-License-Identifier: Apache-2.0
// Any target: what is normal stays as it is, and no dot segment, backslash or double slash that was
// to go is left.
#include "proxy/http/path.h"

#include <cstdint>

#include "lib/base/check.h"

namespace {

using namespace meltemi;
using namespace meltemi::proxy;

std::string_view PathPart(std::string_view target) {
  return target.substr(0, target.find('?'));
}

bool HasDotSegment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Arena arena;
  const char flags = static_cast<char>(data[0]);
  std::string_view target(reinterpret_cast<const char*>(data) + 1, size - 1);
  target = WithoutFragment(target);
  MELTEMI_CHECK(target.find('#') == std::string_view::npos);
  if ((flags & 1) != 0) {
    target = UnescapeSlashes(target, arena);
    MELTEMI_CHECK(!HasEscapedSlashes(target) || target.find('%') != std::string_view::npos);
  }
  if ((flags & 2) != 0) {
    target = MergeSlashes(target, arena);
    MELTEMI_CHECK(PathPart(target).find("//") == std::string_view::npos);
  }
  const PathResult once = NormalizePath(target, arena);
  if (!once.is_valid) return 0;
  if (!once.path.empty() && once.path.front() == '/') {
    MELTEMI_CHECK(!HasDotSegment(PathPart(once.path)));
    MELTEMI_CHECK(PathPart(once.path).find('\\') == std::string_view::npos);
  }
  const PathResult twice = NormalizePath(once.path, arena);
  MELTEMI_CHECK(twice.is_valid && twice.path == once.path);
  return 0;
}
