// SPDX-License-Identifier: Apache-2.0
// The counters and gauges of one thing that has many of its kind: a cluster, a listener, a
// connection manager. Families are made once per process; a group belongs to one thread and makes
// a series when it is first counted, so that what never happens costs a pointer.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/telemetry/metrics.h"

namespace meltemi::telemetry {

struct StatDefinition {
  std::string_view name;  // behind the prefix; a {} in it takes `extra_value`
  MetricType type;
  std::string_view help;
  std::string_view extra_label = {};  // Prometheus label for the {}
  std::string_view extra_value = {};
};

// Immutable after construction; outlives its groups.
class StatFamilies final {
 public:
  // `prefix` as it stands in stat names, {} for the thing's own: "cluster.{}.".
  StatFamilies(Registry& registry, std::string_view prefix, std::string_view label,
               std::span<const StatDefinition> definitions);

 private:
  friend class StatGroup;
  struct Entry {
    Family* family;
    std::string_view extra_value;
  };
  std::vector<Entry> entries_;
};

class StatGroup final {
 public:
  // Counts nothing when either is nullptr. `name`: of the thing.
  StatGroup(const StatFamilies* families, Recorder* recorder, std::string_view name);

  void Add(size_t stat, uint64_t amount = 1) {
    if (Series* series = At(stat)) series->Add(amount);
  }
  void Subtract(size_t stat) {
    if (Series* series = At(stat)) series->Subtract();
  }
  void Set(size_t stat, uint64_t value) {
    if (Series* series = At(stat)) series->Set(value);
  }

 private:
  Series* At(size_t stat) {
    if (series_.empty()) return nullptr;
    return series_[stat] != nullptr ? series_[stat] : Make(stat);
  }
  Series* Make(size_t stat);

  const StatFamilies* families_;
  Recorder* recorder_;
  std::string name_;
  std::vector<Series*> series_;  // empty: nothing is counted
};

}  // namespace meltemi::telemetry
