// SPDX-License-Identifier: Apache-2.0
// Objects for people: one table per kind, with the columns that tell most about it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/config/kind.h"

namespace meltemi::cli {

struct ObjectTableOptions {
  bool has_namespaces = false;  // -A: a column for it
  bool is_wide = false;         // with labels
  WallTime now{};               // ages count to here
};

// "" when there are none.
std::string ObjectTable(const config::Kind& kind, const std::vector<nlohmann::json>& objects,
                        const ObjectTableOptions& options);

}  // namespace meltemi::cli
