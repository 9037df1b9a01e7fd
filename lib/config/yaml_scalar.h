// SPDX-License-Identifier: Apache-2.0
// What a plain (unquoted) YAML scalar means, as Kubernetes' YAML-to-JSON step reads it: YAML 1.1,
// so yes, no, on and off are booleans and 010 is eight.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace meltemi::config {

// null, a boolean, a number, or the text itself. Infinities and NaN, which JSON has not, come as
// discarded values.
nlohmann::json ResolvePlainScalar(std::string_view text);

}  // namespace meltemi::config
