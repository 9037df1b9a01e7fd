// SPDX-License-Identifier: Apache-2.0
// How far a typed word is from a known one, for "did you mean". Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace meltemi {

// Levenshtein's distance, ASCII letters of either case being equal. Costs the product of the sizes:
// callers bound the words.
size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace meltemi
