// SPDX-License-Identifier: Apache-2.0
// What the admin pages show of the configuration: Envoy's ConfigDump, clusters and listeners.
// Control thread only; messages are decoded here and nowhere else.
#pragma once

#include <string>

#include "proxy/config/model.h"

namespace meltemi::proxy {

// `resource` = a field of one dump ("dynamic_active_clusters"), `name_regex` = RE2 on resource
// names; "" = all.
std::string DumpConfig(const Model& model, const std::string& resource,
                       const std::string& name_regex);
std::string DumpClustersText(const Model& model);
std::string DumpClustersJson(const Model& model);
std::string DumpListenersText(const Model& model);
std::string DumpListenersJson(const Model& model);

}  // namespace meltemi::proxy
