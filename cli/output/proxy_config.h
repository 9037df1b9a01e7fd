// SPDX-License-Identifier: Apache-2.0
// Tables of what a proxy holds, from its /config_dump and /clusters, as istioctl users know them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/clock.h"

namespace meltemi::cli {

std::string ListenerTable(const nlohmann::json& config_dump);
std::string RouteTable(const nlohmann::json& config_dump);
std::string ClusterTable(const nlohmann::json& config_dump);
std::string EndpointTable(const nlohmann::json& clusters);  // /clusters?format=json
// `now` decides whether a certificate is valid.
std::string SecretTable(const nlohmann::json& config_dump, WallTime now);

// The part of a config dump whose @type ends in `dump` ("ListenersConfigDump"); null when absent.
const nlohmann::json* FindDump(const nlohmann::json& config_dump, const std::string& dump);

}  // namespace meltemi::cli
