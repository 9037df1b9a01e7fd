// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/stat_group.h"

#include <algorithm>
#include <array>

namespace meltemi::telemetry {
namespace {

// "cluster.{}.upstream_rq_{}xx" -> "envoy_cluster_upstream_rq_xx", as Envoy extracts its tags.
std::string PrometheusName(std::string_view text) {
  std::string name = "envoy_";
  for (const char c : text) {
    if (c == '{' || c == '}') continue;
    const char put = c == '.' ? '_' : c;
    if (put == '_' && name.back() == '_') continue;
    name += put;
  }
  return name;
}

}  // namespace

StatFamilies::StatFamilies(Registry& registry, std::string_view prefix, std::string_view label,
                           std::span<const StatDefinition> definitions) {
  for (const StatDefinition& definition : definitions) {
    FamilyOptions options;
    options.text = std::string(prefix) + std::string(definition.name);
    options.name = PrometheusName(options.text);
    options.help = definition.help;
    options.type = definition.type;
    options.labels = {std::string(label)};
    if (!definition.extra_label.empty()) options.labels.emplace_back(definition.extra_label);
    entries_.push_back({registry.Add(std::move(options)), definition.extra_value});
  }
}

StatGroup::StatGroup(const StatFamilies* families, Recorder* recorder, std::string_view name)
    : families_(families), recorder_(recorder), name_(name) {
  if (families != nullptr && recorder != nullptr) series_.resize(families->entries_.size());
}

Series* StatGroup::Make(size_t stat) {
  const StatFamilies::Entry& entry = families_->entries_[stat];
  const std::array<std::string_view, 2> labels{name_, entry.extra_value};
  const size_t count = entry.extra_value.empty() ? 1 : 2;
  series_[stat] = &recorder_->Find(entry.family, std::span(labels).first(count));
  return series_[stat];
}

}  // namespace meltemi::telemetry
