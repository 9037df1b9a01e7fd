// SPDX-License-Identifier: Apache-2.0
// A mesh's status (host/README.md) for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/clock.h"

namespace meltemi::cli {

// "http://127.0.0.1:8080"; "" for a mesh without a gateway.
std::string GatewayUrl(const nlohmann::json& status);

// Name, age, control plane, gateway: a line each.
std::string MeshSummary(const nlohmann::json& status, WallTime now);

// Workloads with phase and readiness, the gateway last; why one is not ready below the table.
std::string WorkloadTable(const nlohmann::json& status, WallTime now);

// "2m" since an RFC 3339 time; "-" when it is none.
std::string AgeOf(const std::string& rfc3339, WallTime now);

}  // namespace meltemi::cli
