// SPDX-License-Identifier: Apache-2.0
// Unique ids of objects, in the form of UUIDs.
#pragma once

#include <string>
#include <string_view>

namespace meltemi::galley {

std::string RandomUid();                        // version 4
std::string StableUid(std::string_view text);   // equal for equal text (version 8 of RFC 9562)
std::string Sha256Hex(std::string_view bytes);  // lower case

}  // namespace meltemi::galley
