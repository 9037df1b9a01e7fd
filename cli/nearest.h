// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the candidate that takes the fewest slips of the fingers to become `word`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace meltemi::cli {

// "" when nothing is near: more than a third of the longer word differs.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace meltemi::cli
