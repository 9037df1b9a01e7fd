// SPDX-License-Identifier: Apache-2.0
// The body of an object's document: everything but metadata and status. A new generation begins
// when it changes.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace meltemi::galley {

bool IsSameBody(const nlohmann::json& a, const nlohmann::json& b);

}  // namespace meltemi::galley
