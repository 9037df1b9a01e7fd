// SPDX-License-Identifier: Apache-2.0
// One YAML document as JSON (YAML 1.2 core schema for plain scalars). Anchors and aliases are
// refused: a bootstrap needs none, and they make a small file a large one.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::proxy {

StatusOr<std::string> YamlToJson(std::string_view yaml);

}  // namespace meltemi::proxy
