// SPDX-License-Identifier: Apache-2.0
// Objects as the API sends them.
#pragma once

#include <span>
#include <string>

#include "galley/api/routes.h"
#include "lib/config/store.h"

namespace meltemi::galley {

// In the version the request names: the versions of a kind are equal in shape.
std::string RenderObject(const config::Object& object, const std::string& api_version);
std::string RenderList(const Route& route, std::span<const config::ObjectPtr> objects,
                       uint64_t version);
// One line of a watch. The version stands in the object, where clients go on from: for a deletion
// too, whose last state is older.
std::string RenderEvent(const char* type, const config::Object& object,
                        const std::string& api_version, uint64_t version);

}  // namespace meltemi::galley
