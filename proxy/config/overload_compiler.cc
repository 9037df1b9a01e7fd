// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/overload_compiler.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory.pb.h"
#include "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.pb.h"
#include "envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.pb.h"
#include "envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.pb.h"
#include "proxy/config/address_compiler.h"

namespace meltemi::proxy {
namespace {

namespace monitors = envoy::extensions::resource_monitors;
namespace proto = envoy::config::overload::v3;
using Connections = monitors::downstream_connections::v3::DownstreamConnectionsConfig;
using CgroupMemory = monitors::cgroup_memory::v3::CgroupMemoryConfig;
using FixedHeap = monitors::fixed_heap::v3::FixedHeapConfig;
using Injected = monitors::injected_resource::v3::InjectedResourceConfig;
using Kind = OverloadMonitor::Kind;

Status Invalid(std::string text) {
  return absl::InvalidArgumentError(std::move(text));
}

StatusOr<OverloadMonitor> CompileMonitor(const proto::ResourceMonitor& from) {
  OverloadMonitor to;
  to.name = from.name();
  const google::protobuf::Any& any = from.typed_config();
  Connections connections;
  FixedHeap heap;
  CgroupMemory group;
  Injected injected;
  if (any.UnpackTo(&connections)) {
    if (connections.max_active_downstream_connections() <= 0) {
      return Invalid("max_active_downstream_connections must be above zero");
    }
    to.kind = Kind::kDownstreamConnections;
    to.limit = static_cast<uint64_t>(connections.max_active_downstream_connections());
  } else if (any.UnpackTo(&heap)) {
    if (heap.max_heap_size_bytes() == 0) return Invalid("max_heap_size_bytes must be above zero");
    to.kind = Kind::kFixedHeap;
    to.limit = heap.max_heap_size_bytes();
  } else if (any.UnpackTo(&group)) {
    to.kind = Kind::kCgroupMemory;
    to.limit = group.max_memory_bytes();
  } else if (any.UnpackTo(&injected)) {
    if (injected.filename().empty()) return Invalid("filename is empty");
    to.kind = Kind::kInjected;
    to.path = injected.filename();
  } else {
    return absl::UnimplementedError(
        "not supported; fixed_heap, cgroup_memory, injected_resource and "
        "global_downstream_max_connections are");
  }
  return to;
}

Status CheckThreshold(double value) {
  if (value > 0 && value <= 1) return absl::OkStatus();
  return Invalid(fmt::format("threshold {}: must be above 0, at most 1", value));
}

StatusOr<OverloadTrigger> CompileTrigger(const proto::Trigger& from, const OverloadConfig& to) {
  OverloadTrigger trigger;
  while (trigger.monitor < to.monitors.size() && to.monitors[trigger.monitor].name != from.name()) {
    ++trigger.monitor;
  }
  if (trigger.monitor == to.monitors.size()) {
    return Invalid(fmt::format("no resource monitor is named {}", from.name()));
  }
  if (from.has_threshold()) {
    trigger.scaling = trigger.saturation = from.threshold().value();
    if (trigger.saturation < 0 || trigger.saturation > 1) {
      return CheckThreshold(trigger.saturation);
    }
    return trigger;
  }
  if (!from.has_scaled()) return Invalid("neither threshold nor scaled");
  trigger.scaling = from.scaled().scaling_threshold();
  trigger.saturation = from.scaled().saturation_threshold();
  MELTEMI_RETURN_IF_ERROR(CheckThreshold(trigger.saturation));
  if (trigger.scaling < 0 || trigger.scaling >= trigger.saturation) {
    return Invalid("scaling_threshold must be below saturation_threshold");
  }
  return trigger;
}

std::optional<ScaledTimer> TimerOf(proto::ScaleTimersOverloadActionConfig::TimerType type) {
  using From = proto::ScaleTimersOverloadActionConfig;
  switch (type) {
    case From::HTTP_DOWNSTREAM_CONNECTION_IDLE:
      return ScaledTimer::kConnectionIdle;
    case From::HTTP_DOWNSTREAM_STREAM_IDLE:
      return ScaledTimer::kStreamIdle;
    case From::TRANSPORT_SOCKET_CONNECT:
      return ScaledTimer::kTransportConnect;
    case From::HTTP_DOWNSTREAM_CONNECTION_MAX:
      return ScaledTimer::kConnectionMax;
    default:
      return std::nullopt;
  }
}

StatusOr<std::shared_ptr<const ScaledTimers>> CompileTimers(const google::protobuf::Any& from) {
  using From = proto::ScaleTimersOverloadActionConfig;
  From config;
  if (!from.UnpackTo(&config)) {
    return Invalid("reduce_timeouts: typed_config must be a ScaleTimersOverloadActionConfig");
  }
  auto to = std::make_shared<ScaledTimers>();
  for (const auto& rule : config.timer_scale_factors()) {
    const auto timer = TimerOf(rule.timer());
    if (!timer) {
      return absl::UnimplementedError(fmt::format("reduce_timeouts: timer {} is not supported",
                                                  From::TimerType_Name(rule.timer())));
    }
    if (to->has(*timer)) {
      return Invalid(
          fmt::format("reduce_timeouts: {} given twice", From::TimerType_Name(rule.timer())));
    }
    if (rule.has_min_scale()) {
      if (!(rule.min_scale().value() >= 0 && rule.min_scale().value() <= 100)) {
        return Invalid("reduce_timeouts: min_scale must be 0 to 100");
      }
      to->SetShare(*timer, rule.min_scale().value() / 100);
    } else {
      to->Set(*timer, CompileDuration(rule.min_timeout()));
    }
  }
  return to;
}

template <typename From>
StatusOr<OverloadConfig::Lever> CompileLever(const From& from, bool is_point,
                                             const OverloadConfig& to) {
  OverloadConfig::Lever lever{OverloadLever::kCount, {}};
  for (size_t i = 0; i < kOverloadLevers; ++i) {
    const auto candidate = static_cast<OverloadLever>(i);
    if (OverloadLeverName(candidate) == from.name() && IsLoadShedPoint(candidate) == is_point) {
      lever.lever = candidate;
    }
  }
  if (lever.lever == OverloadLever::kCount) {
    return absl::UnimplementedError(fmt::format("{} is not supported", from.name()));
  }
  for (const OverloadConfig::Lever& other : to.levers) {
    if (other.lever == lever.lever) return Invalid(fmt::format("{} given twice", from.name()));
  }
  std::set<size_t> monitors_used;
  for (const auto& trigger : from.triggers()) {
    auto compiled = CompileTrigger(trigger, to);
    if (!compiled.ok()) return WithContext(compiled.status(), from.name());
    if (!monitors_used.insert(compiled->monitor).second) {
      return Invalid(fmt::format("{}: two triggers of {}", from.name(), trigger.name()));
    }
    lever.triggers.push_back(*compiled);
  }
  if (lever.triggers.empty()) return Invalid(fmt::format("{}: no triggers", from.name()));
  return lever;
}

Status CompileMonitors(const proto::OverloadManager& from, OverloadConfig& to) {
  for (const auto& monitor : from.resource_monitors()) {
    auto compiled = CompileMonitor(monitor);
    if (!compiled.ok()) {
      return WithContext(compiled.status(), fmt::format("resource_monitors: {}", monitor.name()));
    }
    for (const OverloadMonitor& other : to.monitors) {
      if (other.name == compiled->name) {
        return Invalid(fmt::format("resource_monitors: {} given twice", other.name));
      }
    }
    if (compiled->kind == Kind::kDownstreamConnections) to.connections_max = compiled->limit;
    to.monitors.push_back(*std::move(compiled));
  }
  return absl::OkStatus();
}

Status CompileActions(const proto::OverloadManager& from, OverloadConfig& to) {
  for (const auto& action : from.actions()) {
    auto lever = CompileLever(action, false, to);
    if (!lever.ok()) return WithContext(lever.status(), "actions");
    // shrink_heap may say how much to leave; all that is free goes here.
    if (lever->lever == OverloadLever::kReduceTimeouts) {
      auto timers = CompileTimers(action.typed_config());
      if (!timers.ok()) return WithContext(timers.status(), "actions");
      to.timers = *std::move(timers);
    } else if (action.has_typed_config() && lever->lever != OverloadLever::kShrinkHeap) {
      return Invalid(fmt::format("actions: {} takes no typed_config", action.name()));
    }
    to.levers.push_back(*std::move(lever));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<OverloadConfig> CompileOverload(const proto::OverloadManager& from) {
  OverloadConfig to;
  if (from.has_refresh_interval()) to.refresh_interval = CompileDuration(from.refresh_interval());
  if (to.refresh_interval < std::chrono::milliseconds(1)) {
    return Invalid("refresh_interval must be at least 1 ms");
  }
  if (from.has_buffer_factory_config()) {
    return absl::UnimplementedError("buffer_factory_config is not supported");
  }
  MELTEMI_RETURN_IF_ERROR(CompileMonitors(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileActions(from, to));
  for (const auto& point : from.loadshed_points()) {
    auto lever = CompileLever(point, true, to);
    if (!lever.ok()) return WithContext(lever.status(), "loadshed_points");
    to.levers.push_back(*std::move(lever));
  }
  return to;
}

void KeepOverloadTypes() {
  google::protobuf::LinkMessageReflection<Connections>();
  google::protobuf::LinkMessageReflection<FixedHeap>();
  google::protobuf::LinkMessageReflection<CgroupMemory>();
  google::protobuf::LinkMessageReflection<Injected>();
  google::protobuf::LinkMessageReflection<proto::ScaleTimersOverloadActionConfig>();
}

}  // namespace meltemi::proxy
