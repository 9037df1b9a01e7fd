// SPDX-License-Identifier: Apache-2.0
// What listeners count, by Envoy's names. Worker-local; counts nothing without a registry.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/telemetry/metrics.h"

namespace meltemi::proxy {

enum class ListenerEvent : uint8_t {
#define MELTEMI_LISTENER_EVENT(id, name, help) id,
#include "proxy/listener/listener_events.def"
#undef MELTEMI_LISTENER_EVENT
  kCount
};

enum class ProxyHeaderEvent : uint8_t { kFound, kDisallowed, kError, kCount };

class ListenerCounters final {
 public:
  struct OpenCounts {
    telemetry::Series* active;
    telemetry::Series* destroyed;
  };
  ListenerCounters(telemetry::Registry* registry, telemetry::Recorder* recorder);
  // A connection that a filter chain took, counted as open until this goes.
  class Open final {
   public:
    Open() = default;
    Open(ListenerCounters& of, std::string_view listener);
    ~Open() { Close(); }
    Open(Open&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Open& operator=(Open&& other) noexcept {
      if (this == &other) return *this;
      Close();
      of_ = std::exchange(other.of_, nullptr);
      return *this;
    }

   private:
    void Close();
    const OpenCounts* of_ = nullptr;
  };

  // `listener` = its stat_prefix, or its address with _ for :.
  void Count(ListenerEvent event, std::string_view listener);
  void CountProxyHeader(ProxyHeaderEvent event, int version, std::string_view prefix);
  void CountNoProxyHeader(bool is_allowed, std::string_view prefix);

 private:
  telemetry::Recorder* const recorder_;
  std::array<telemetry::Family*, static_cast<size_t>(ListenerEvent::kCount)> events_{};
  std::array<telemetry::Family*, static_cast<size_t>(ProxyHeaderEvent::kCount)> headers_{};
  std::array<telemetry::Family*, 2> none_{};  // disallowed, allowed
  telemetry::Family* active_ = nullptr;
  absl::flat_hash_map<std::string, std::unique_ptr<const OpenCounts>> open_;  // by listener
};

}  // namespace meltemi::proxy
