// SPDX-License-Identifier: Apache-2.0
#include "proxy/overload/overload.h"

#include <fmt/format.h>
#include <malloc.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "lib/base/log.h"
#include "proxy/overload/memory_use.h"

namespace meltemi::proxy {
namespace {

using Kind = OverloadMonitor::Kind;

struct LeverName {
  std::string_view name;
  bool is_shed_point;
};
constexpr LeverName kNames[] = {
#define MELTEMI_OVERLOAD_ACTION(id, name) {"envoy.overload_actions." name, false},
#define MELTEMI_LOAD_SHED_POINT(id, name) {"envoy.load_shed_points." name, true},
#include "proxy/overload/overload_levers.def"
#undef MELTEMI_OVERLOAD_ACTION
#undef MELTEMI_LOAD_SHED_POINT
};

std::optional<double> ReadInjected(const std::string& path) {
  const auto text = ReadSmallFile(path);
  if (!text) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || value < 0 || value > 1) return std::nullopt;
  return value;
}

double Share(uint64_t used, uint64_t limit) {
  return limit == 0 ? 0 : static_cast<double>(used) / static_cast<double>(limit);
}

std::optional<double> PressureOf(const OverloadMonitor& monitor,
                                 const runtime::SharedCount* connections) {
  switch (monitor.kind) {
    case Kind::kFixedHeap: {
      const auto used = AnonymousMemory();
      if (!used) return std::nullopt;
      return Share(*used, monitor.limit);
    }
    case Kind::kCgroupMemory: {
      const auto memory = ControlGroupMemory();
      if (!memory) return std::nullopt;
      const uint64_t own = memory->limit == 0 ? monitor.limit : memory->limit;
      return Share(memory->used, monitor.limit == 0 ? own : std::min(own, monitor.limit));
    }
    case Kind::kInjected:
      return ReadInjected(monitor.path);
    case Kind::kDownstreamConnections:
      return connections == nullptr ? 0 : Share(connections->value(), monitor.limit);
  }
  return std::nullopt;
}

bool IsMemory(Kind kind) {
  return kind == Kind::kFixedHeap || kind == Kind::kCgroupMemory;
}

}  // namespace

std::string_view OverloadLeverName(OverloadLever lever) {
  return kNames[static_cast<size_t>(lever)].name;
}

bool IsLoadShedPoint(OverloadLever lever) {
  return kNames[static_cast<size_t>(lever)].is_shed_point;
}

struct Overload::Lever {
  const OverloadConfig::Lever* config;
  MonotonicTime logged{};
  telemetry::Series* active = nullptr;  // actions only
  telemetry::Series* percent = nullptr;
};

// By Envoy's names; the control thread has a recorder of its own.
struct Overload::Gauges {
  explicit Gauges(telemetry::Registry& of) : registry(of), recorder(of) {}

  telemetry::Series* Add(std::string text, std::string help, telemetry::MetricType type) {
    telemetry::FamilyOptions options;
    options.name = "envoy_" + text;
    std::replace(options.name.begin(), options.name.end(), '.', '_');
    options.help = std::move(help);
    options.type = type;
    options.text = std::move(text);
    return &recorder.Find(registry.Add(std::move(options)));
  }

  telemetry::Registry& registry;
  telemetry::Recorder recorder;
  std::vector<telemetry::Series*> pressures, failures;  // by monitor
  telemetry::Series* shrinks = nullptr;
};

Overload::Overload(runtime::Loop& loop, OverloadConfig config, Sources sources)
    : loop_(loop),
      config_(std::move(config)),
      sources_(std::move(sources)),
      pressures_(config_.monitors.size()),
      levels_(config_.timers),
      timer_(loop, [this] { Refresh(); }) {
  using telemetry::MetricType;
  if (sources_.registry != nullptr) gauges_ = std::make_unique<Gauges>(*sources_.registry);
  for (const OverloadConfig::Lever& lever : config_.levers) {
    levers_.push_back({&lever});
    if (gauges_ == nullptr) continue;
    const std::string_view name = OverloadLeverName(lever.lever);
    levers_.back().percent = gauges_->Add(fmt::format("overload.{}.scale_percent", name),
                                          "How hard it presses, 0 to 100.", MetricType::kGauge);
    if (IsLoadShedPoint(lever.lever)) continue;
    levers_.back().active = gauges_->Add(fmt::format("overload.{}.active", name),
                                         "1 while it presses in full.", MetricType::kGauge);
    if (lever.lever != OverloadLever::kShrinkHeap) continue;
    gauges_->shrinks = gauges_->Add(fmt::format("overload.{}.shrink_count", name),
                                    "Times free memory was returned.", MetricType::kCounter);
  }
  for (const OverloadMonitor& monitor : config_.monitors) {
    if (gauges_ == nullptr) break;
    gauges_->pressures.push_back(gauges_->Add(fmt::format("overload.{}.pressure", monitor.name),
                                              "Percent of what is allowed.", MetricType::kGauge));
    gauges_->failures.push_back(
        gauges_->Add(fmt::format("overload.{}.failed_updates", monitor.name),
                     "Measurements that failed.", MetricType::kCounter));
  }
  Refresh();
}

Overload::~Overload() = default;

void Overload::Refresh() {
  Measure();
  if (PressesForMemory() &&
      (trimmed_ == MonotonicTime{} || loop_.Now() - trimmed_ >= kTrimInterval)) {
    ReturnMemory();
    Measure();
  }
  const OverloadLevels before = levels_;
  for (Lever& lever : levers_) Move(lever, LevelOf(*lever.config));
  if (!(levels_ == before)) sources_.tell(levels_);
  timer_.Arm(config_.refresh_interval);
}

void Overload::Measure() {
  for (size_t i = 0; i < config_.monitors.size(); ++i) {
    const auto pressure = PressureOf(config_.monitors[i], sources_.connections.get());
    if (pressure) pressures_[i] = *pressure;
    if (gauges_ == nullptr) continue;
    if (!pressure) gauges_->failures[i]->Add();
    gauges_->pressures[i]->Set(static_cast<uint64_t>(pressures_[i] * 100));
  }
}

double Overload::LevelOf(const OverloadConfig::Lever& lever) const {
  double level = 0;
  for (const OverloadTrigger& trigger : lever.triggers) {
    level = std::max(level, trigger.Level(pressures_[trigger.monitor]));
  }
  return level;
}

bool Overload::PressesForMemory() const {
  for (const OverloadConfig::Lever& lever : config_.levers) {
    for (const OverloadTrigger& trigger : lever.triggers) {
      if (!IsMemory(config_.monitors[trigger.monitor].kind)) continue;
      if (trigger.Level(pressures_[trigger.monitor]) > 0) return true;
    }
  }
  return levels_.of(OverloadLever::kShrinkHeap) > 0;
}

void Overload::ReturnMemory() {
  trimmed_ = loop_.Now();
  ::malloc_trim(0);
  if (gauges_ != nullptr && gauges_->shrinks != nullptr) gauges_->shrinks->Add();
}

void Overload::Move(Lever& lever, double level) {
  const OverloadLever which = lever.config->lever;
  const double before = levels_.of(which);
  levels_.Set(which, level);
  if (lever.active != nullptr) lever.active->Set(level >= 1 ? 1 : 0);
  if (lever.percent != nullptr) {
    lever.percent->Set(static_cast<uint64_t>(std::lround(level * 100)));
  }
  const bool has_turned = (before > 0) != (level > 0) || (before >= 1) != (level >= 1);
  if (!has_turned) return;
  if (lever.logged != MonotonicTime{} && loop_.Now() - lever.logged < kLogInterval) return;
  lever.logged = loop_.Now();
  std::string pressures;
  for (const OverloadTrigger& trigger : lever.config->triggers) {
    pressures += fmt::format(" {} {:.0f} %", config_.monitors[trigger.monitor].name,
                             pressures_[trigger.monitor] * 100);
  }
  MELTEMI_LOG(warn, "overload: {} at {:.0f} %:{}", OverloadLeverName(which), level * 100,
              pressures);
}

}  // namespace meltemi::proxy
