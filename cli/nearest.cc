// SPDX-License-Identifier: Apache-2.0
#include "cli/nearest.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "lib/base/edit_distance.h"

namespace meltemi::cli {
namespace {

// Words of a command line; longer ones are no typing errors.
constexpr size_t kWordBytesMax = 100;

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = kWordBytesMax;
  if (word.size() > kWordBytesMax) return best;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    if (distance >= best_distance || distance * 3 > std::max(word.size(), candidate.size()))
      continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

}  // namespace meltemi::cli
