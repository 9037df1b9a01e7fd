// SPDX-License-Identifier: Apache-2.0
// One YAML document as JSON (YAML 1.2 core schema for plain scalars). An alias stands for a copy of
// its anchor; what copies may add is bounded, since they make a small file a large one.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::proxy {

// Bytes that all aliases of a document may stand for together, roughly.
inline constexpr size_t kYamlAliasBytesMax = 16 * 1024 * 1024;

StatusOr<std::string> YamlToJson(std::string_view yaml);

}  // namespace meltemi::proxy
