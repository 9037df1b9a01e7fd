// SPDX-License-Identifier: Apache-2.0
// What a cluster counts on one worker, by Envoy's names. Families are made once, on the control
// thread.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/net/connection.h"
#include "lib/telemetry/stat_group.h"

namespace meltemi::proxy {

enum class ClusterStat : uint8_t {
#define MELTEMI_CLUSTER_STAT(id, type, name, help) id,
#include "proxy/upstream/cluster_stats.def"
#undef MELTEMI_CLUSTER_STAT
  kClass1,  // answers by the first digit of their status
  kClass2,
  kClass3,
  kClass4,
  kClass5,
  kCount
};

struct ClusterStatFamilies {
  telemetry::StatFamilies stats;
  telemetry::Family* codes;  // answers by status
};
std::shared_ptr<const ClusterStatFamilies> NewClusterStatFamilies(telemetry::Registry& registry);

class ClusterStats final {
 public:
  // Counts nothing when either is nullptr.
  ClusterStats(const ClusterStatFamilies* families, telemetry::Recorder* recorder,
               std::string_view name);

  void Count(ClusterStat stat) { group_.Add(static_cast<size_t>(stat)); }
  void Uncount(ClusterStat gauge) { group_.Subtract(static_cast<size_t>(gauge)); }
  void CountAnswer(int status);
  void CountClosed(std::optional<net::CloseReason> reason);

 private:
  telemetry::StatGroup group_;
  telemetry::Family* const codes_;
  telemetry::Recorder* const recorder_;
  const std::string name_;
  std::vector<std::pair<int, telemetry::Series*>> by_code_;  // few: searched in order
};

}  // namespace meltemi::proxy
