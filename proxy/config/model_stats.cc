// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/model_stats.h"

#include <algorithm>

namespace meltemi::proxy {
namespace {

template <typename Entries>
double Count(const Entries& entries, bool is_published) {
  return static_cast<double>(
      std::count_if(entries.begin(), entries.end(), [is_published](const auto& entry) {
        return (entry.second.published != nullptr) == is_published;
      }));
}

}  // namespace

void AddModelStats(telemetry::Registry& registry, const Model& model) {
  const auto gauge = [&](const char* name, const char* text, const char* help, auto count) {
    registry.AddSource(name, help, telemetry::MetricType::kGauge, count, text);
  };
  gauge("envoy_cluster_manager_active_clusters", "cluster_manager.active_clusters",
        "clusters in use", [&model] { return Count(model.clusters(), true); });
  gauge("envoy_cluster_manager_warming_clusters", "cluster_manager.warming_clusters",
        "clusters that wait for endpoints or secrets",
        [&model] { return Count(model.clusters(), false); });
  gauge("envoy_listener_manager_total_listeners_active", "listener_manager.total_listeners_active",
        "listeners in use", [&model] { return Count(model.listeners(), true); });
  gauge("envoy_listener_manager_total_listeners_warming",
        "listener_manager.total_listeners_warming", "listeners that wait for routes or secrets",
        [&model] { return Count(model.listeners(), false); });
}

}  // namespace meltemi::proxy
