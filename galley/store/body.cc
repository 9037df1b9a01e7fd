// SPDX-License-Identifier: Apache-2.0
#include "galley/store/body.h"

#include <nlohmann/json.hpp>

namespace meltemi::galley {
namespace {

bool IsBodyField(const std::string& name) {
  return name != "metadata" && name != "status";
}

size_t CountBodyFields(const nlohmann::json& document) {
  size_t count = 0;
  for (const auto& [name, value] : document.items()) count += IsBodyField(name) ? 1 : 0;
  return count;
}

}  // namespace

bool IsSameBody(const nlohmann::json& a, const nlohmann::json& b) {
  if (CountBodyFields(a) != CountBodyFields(b)) return false;
  for (const auto& [name, value] : a.items()) {
    if (!IsBodyField(name)) continue;
    const auto at = b.find(name);
    if (at == b.end() || *at != value) return false;
  }
  return true;
}

}  // namespace meltemi::galley
