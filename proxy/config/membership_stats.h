// SPDX-License-Identifier: Apache-2.0
// How many hosts clusters have, by Envoy's names. Control thread only.
#pragma once

#include <string_view>

#include "lib/telemetry/stat_group.h"
#include "proxy/upstream/cluster.h"

namespace meltemi::proxy {

class MembershipStats final {
 public:
  explicit MembershipStats(telemetry::Registry& registry);
  // The hosts of `cluster` are `now`; nullptr: it has none any more.
  void Set(std::string_view cluster, const EndpointSet* before, const EndpointSet* now);

 private:
  telemetry::StatFamilies families_;
  telemetry::Recorder recorder_;
};

}  // namespace meltemi::proxy
