// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/listener_counters.h"

#include <algorithm>
#include <string>

namespace meltemi::proxy {
namespace {

telemetry::Family* Add(telemetry::Registry& registry, std::string text, std::string help,
                       std::vector<std::string> labels,
                       telemetry::MetricType type = telemetry::MetricType::kCounter) {
  telemetry::FamilyOptions options;
  options.name = "envoy_" + text;
  std::erase_if(options.name, [](char c) { return c == '{' || c == '}'; });
  for (size_t at; (at = options.name.find("..")) != std::string::npos;) options.name.erase(at, 1);
  std::replace(options.name.begin(), options.name.end(), '.', '_');
  options.help = std::move(help);
  options.type = type;
  options.labels = std::move(labels);
  options.text = std::move(text);
  return registry.Add(std::move(options));
}

}  // namespace

ListenerCounters::ListenerCounters(telemetry::Registry* registry, telemetry::Recorder* recorder)
    : recorder_(recorder) {
  if (registry == nullptr || recorder == nullptr) return;
  size_t event = 0;
#define MELTEMI_LISTENER_EVENT(id, name, help) \
  events_[event++] = Add(*registry, "listener.{}." name, help, {"envoy_listener_address"});
#include "proxy/listener/listener_events.def"
#undef MELTEMI_LISTENER_EVENT
  active_ = Add(*registry, "listener.{}.downstream_cx_active", "Connections open.",
                {"envoy_listener_address"}, telemetry::MetricType::kGauge);
  const std::vector<std::string> labels = {"envoy_proxy_proto_prefix", "envoy_proxy_proto_version"};
  headers_ = {
      Add(*registry, "proxy_proto.{}.versions.v{}.found", "PROXY headers taken.", labels),
      Add(*registry, "proxy_proto.{}.versions.v{}.disallowed",
          "PROXY headers of a version the listener refuses.", labels),
      Add(*registry, "proxy_proto.{}.versions.v{}.error", "PROXY headers that are broken.", labels),
  };
  none_ = {
      Add(*registry, "proxy_proto.{}.not_found_disallowed",
          "Connections refused for want of a PROXY header.", {labels[0]}),
      Add(*registry, "proxy_proto.{}.not_found_allowed",
          "Connections taken without a PROXY header.", {labels[0]}),
  };
}

void ListenerCounters::Count(ListenerEvent event, std::string_view listener) {
  if (auto* family = events_[static_cast<size_t>(event)]) {
    recorder_->Find(family, std::array{listener}).Add();
  }
}

ListenerCounters::Open::Open(ListenerCounters& of, std::string_view listener) {
  if (of.active_ == nullptr) return;
  of.Count(ListenerEvent::kAccepted, listener);
  std::unique_ptr<const OpenCounts>& counts = of.open_[std::string(listener)];
  if (counts == nullptr) {
    auto* const destroyed = of.events_[static_cast<size_t>(ListenerEvent::kDestroyed)];
    counts = std::make_unique<const OpenCounts>(
        OpenCounts{&of.recorder_->Find(of.active_, std::array{listener}),
                   &of.recorder_->Find(destroyed, std::array{listener})});
  }
  of_ = counts.get();
  of_->active->Add();
}

void ListenerCounters::Open::Close() {
  const OpenCounts* const of = std::exchange(of_, nullptr);
  if (of == nullptr) return;
  of->destroyed->Add();
  of->active->Subtract();
}

void ListenerCounters::CountProxyHeader(ProxyHeaderEvent event, int version,
                                        std::string_view prefix) {
  if (auto* family = headers_[static_cast<size_t>(event)]) {
    recorder_->Find(family, std::array{prefix, std::string_view(version == 1 ? "1" : "2")}).Add();
  }
}

void ListenerCounters::CountNoProxyHeader(bool is_allowed, std::string_view prefix) {
  if (auto* family = none_[is_allowed ? 1 : 0]) recorder_->Find(family, std::array{prefix}).Add();
}

}  // namespace meltemi::proxy
