// SPDX-License-Identifier: Apache-2.0
// Durations as Istio takes them, which is Go's notation: "1s", "1.5s", "1h2m3s", "100ms".
#pragma once

#include <optional>
#include <string_view>

#include "lib/base/clock.h"

namespace meltemi::config {

// nullopt when it is none, or more than about 292 years.
std::optional<Duration> ParseDuration(std::string_view text);

}  // namespace meltemi::config
