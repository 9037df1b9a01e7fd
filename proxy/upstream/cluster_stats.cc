// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/cluster_stats.h"

#include <fmt/format.h>

#include <array>

namespace meltemi::proxy {
namespace {

using telemetry::MetricType;
constexpr std::string_view kLabel = "envoy_cluster_name";
constexpr std::string_view kClass = "upstream_rq_{}xx";
constexpr std::string_view kClassLabel = "envoy_response_code_class";
constexpr std::string_view kClassHelp = "Answers by the class of their status.";

constexpr telemetry::StatDefinition kDefinitions[] = {
#define MELTEMI_CLUSTER_STAT(id, type, name, help) {name, MetricType::type, help},
#include "proxy/upstream/cluster_stats.def"
#undef MELTEMI_CLUSTER_STAT
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "1"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "2"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "3"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "4"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "5"},
};

}  // namespace

std::shared_ptr<const ClusterStatFamilies> NewClusterStatFamilies(telemetry::Registry& registry) {
  telemetry::FamilyOptions codes;
  codes.name = "envoy_cluster_upstream_rq";
  codes.text = "cluster.{}.upstream_rq_{}";
  codes.help = "Answers by their status.";
  codes.labels = {std::string(kLabel), "envoy_response_code"};
  telemetry::StatFamilies stats(registry, "cluster.{}.", kLabel, kDefinitions);
  return std::make_shared<const ClusterStatFamilies>(
      ClusterStatFamilies{std::move(stats), registry.Add(std::move(codes))});
}

ClusterStats::ClusterStats(const ClusterStatFamilies* families, telemetry::Recorder* recorder,
                           std::string_view name)
    : group_(families == nullptr ? nullptr : &families->stats, recorder, name),
      codes_(families == nullptr ? nullptr : families->codes),
      recorder_(recorder),
      name_(name) {}

void ClusterStats::CountAnswer(int status) {
  if (codes_ == nullptr || recorder_ == nullptr || status < 100 || status > 599) return;
  Count(ClusterStat::kCompleted);
  group_.Add(static_cast<size_t>(ClusterStat::kClass1) + static_cast<size_t>(status / 100 - 1));
  for (const auto& [code, series] : by_code_) {
    if (code == status) return series->Add();
  }
  const fmt::format_int text(status);
  const std::array labels{std::string_view(name_), std::string_view(text.data(), text.size())};
  by_code_.emplace_back(status, &recorder_->Find(codes_, labels));
  by_code_.back().second->Add();
}

void ClusterStats::CountClosed(std::optional<net::CloseReason> reason) {
  Uncount(ClusterStat::kConnectionsActive);
  Count(ClusterStat::kDestroyed);
  if (!reason) return;
  const bool is_local =
      reason == net::CloseReason::kLocal || reason == net::CloseReason::kConnectTimeout;
  Count(is_local ? ClusterStat::kDestroyedLocal : ClusterStat::kDestroyedRemote);
}

}  // namespace meltemi::proxy
