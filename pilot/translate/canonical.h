// SPDX-License-Identifier: Apache-2.0
// The name and revision a workload goes by in telemetry, from its labels as Istio reads them.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace meltemi::pilot {

inline constexpr std::string_view kLatestRevision = "latest";

// `workload` where no label tells.
std::string CanonicalName(const std::map<std::string, std::string>& labels,
                          const std::string& workload);
std::string CanonicalRevision(const std::map<std::string, std::string>& labels);

}  // namespace meltemi::pilot
