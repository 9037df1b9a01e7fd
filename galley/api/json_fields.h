// SPDX-License-Identifier: Apache-2.0
// Reading fields of JSON whose shape nobody has checked yet.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace meltemi::galley {

// The text in a field of an object; "" when anything about it is otherwise.
inline std::string TextAt(const nlohmann::json& object, const char* field) {
  if (!object.is_object()) return {};
  const auto at = object.find(field);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// The object in a field; an empty one when anything about it is otherwise.
inline const nlohmann::json& ObjectAt(const nlohmann::json& object, const char* field) {
  static const nlohmann::json kEmpty = nlohmann::json::object();
  if (!object.is_object()) return kEmpty;
  const auto at = object.find(field);
  return at != object.end() && at->is_object() ? *at : kEmpty;
}

}  // namespace meltemi::galley
