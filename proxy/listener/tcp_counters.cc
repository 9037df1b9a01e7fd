// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_counters.h"

#include <string_view>
#include <utility>

#include "proxy/worker.h"

namespace meltemi::proxy {

TcpCounters::TcpCounters(telemetry::Registry* registry, std::string prefix)
    : prefix_(std::move(prefix)) {
  if (registry == nullptr) return;
  constexpr const char* kNames[] = {"downstream_cx_total",
                                    "downstream_cx_no_route",
                                    "downstream_cx_rx_bytes_total",
                                    "downstream_cx_tx_bytes_total",
                                    "idle_timeout",
                                    "max_downstream_connection_duration"};
  for (size_t i = 0; i < families_.size(); ++i) {
    telemetry::FamilyOptions options;
    options.name = std::string("envoy_tcp_") + kNames[i];
    options.help = "Of TCP proxies.";
    options.type = telemetry::MetricType::kCounter;
    options.labels = {"envoy_tcp_prefix"};
    options.text = std::string("tcp.{}.") + kNames[i];
    families_[i] = registry->Add(std::move(options));
  }
}

void TcpCounters::Count(Worker& worker, TcpCounter counter, uint64_t amount) const {
  telemetry::Family* family = families_[static_cast<size_t>(counter)];
  if (family == nullptr || worker.recorder() == nullptr || amount == 0) return;
  worker.recorder()->Find(family, std::array{std::string_view(prefix_)}).Add(amount);
}

}  // namespace meltemi::proxy
