// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/xds_metrics.h"

#include <fmt/format.h>

namespace meltemi::proxy {
namespace {

using telemetry::MetricType;

// Envoy's names, which Istio's agent and dashboards ask for.
struct Named {
  xds::Type type;
  std::string_view text, prometheus;
};
constexpr Named kNamed[] = {
    {xds::Type::kCluster, "cluster_manager.cds", "envoy_cluster_manager_cds"},
    {xds::Type::kListener, "listener_manager.lds", "envoy_listener_manager_lds"},
};
struct Count {
  std::string_view name;
  uint64_t xds::TypeCounters::* count;
};
constexpr Count kCounts[] = {
    {"update_attempt", &xds::TypeCounters::updates},
    {"update_success", &xds::TypeCounters::acknowledged},
    {"update_rejected", &xds::TypeCounters::refused},
};

}  // namespace

void AddXdsMetrics(telemetry::Registry& registry, std::function<XdsState()> state) {
  const auto connected = [state] { return state().is_connected ? 1.0 : 0.0; };
  registry.AddSource("meltemi_xds_connected", "1 while every configuration source answers",
                     MetricType::kGauge, connected);
  registry.AddSource("envoy_control_plane_connected_state", "the same under Envoy's name",
                     MetricType::kGauge, connected, "control_plane.connected_state");
  const auto add = [&](std::string name, const char* help,
                       std::function<uint64_t(const xds::ClientCounters&)> count,
                       std::string text = {}) {
    registry.AddSource(
        std::move(name), help, MetricType::kCounter,
        [state, count] { return static_cast<double>(count(state().counters)); }, std::move(text));
  };
  add("meltemi_xds_updates_total", "responses of configuration sources",
      [](const xds::ClientCounters& all) { return all.sum().updates; });
  add("meltemi_xds_refused_total", "responses with a refused resource",
      [](const xds::ClientCounters& all) { return all.sum().refused; });
  add("meltemi_xds_failures_total", "attempts to reach a configuration source without a response",
      [](const xds::ClientCounters& all) { return all.failures; });
  for (const Named& named : kNamed) {
    for (const Count& one : kCounts) {
      add(
          fmt::format("{}_{}", named.prometheus, one.name), "responses of one type",
          [type = named.type, count = one.count](const xds::ClientCounters& all) {
            return all.of(type).*count;
          },
          fmt::format("{}.{}", named.text, one.name));
    }
  }
}

}  // namespace meltemi::proxy
