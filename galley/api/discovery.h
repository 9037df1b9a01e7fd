// SPDX-License-Identifier: Apache-2.0
// What the API tells of itself: groups, versions, kinds, and as much of an OpenAPI document as lets
// kubectl leave the checking of fields to the server.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "galley/api/routes.h"
#include "lib/base/status.h"

namespace meltemi::galley {

// Requires: a route to kVersion … kSchema.
nlohmann::json Discover(const Route& route);

}  // namespace meltemi::galley
