// SPDX-License-Identifier: Apache-2.0
// Keeps the endpoints of one DNS cluster current. Control thread only.
//
// STRICT_DNS takes every address of every name, LOGICAL_DNS the first of its one name. A question
// that fails leaves what was known before; the first round reports even when nothing was found, so
// that a dead name does not hold up the start. Failures are counted, and logged when they begin,
// then once an interval, and when they are over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/net/resolver.h"
#include "lib/runtime/loop.h"
#include "lib/telemetry/metrics.h"
#include "proxy/config/cluster_compiler.h"

namespace meltemi::proxy {

// Envoy's cluster.NAME.update_attempt, update_success, update_failure. Lives as long as the model.
class DnsStats final {
 public:
  explicit DnsStats(telemetry::Registry& registry);
  struct Of {
    telemetry::Series &attempts, &successes, &failures;
  };
  Of Find(std::string_view cluster);

 private:
  telemetry::Recorder recorder_;
  telemetry::Family *attempts_, *successes_, *failures_;
};

class DnsEndpoints final {
 public:
  static constexpr Duration kLogInterval = std::chrono::minutes(1);

  // `changed` runs from the loop, and may not destroy this object.
  DnsEndpoints(runtime::Loop& loop, net::Resolver& resolver,
               std::shared_ptr<const ClusterPlan> plan, DnsStats* stats,
               std::function<void(const Assignment&)> changed);

 private:
  void Ask();
  void OnAnswer(size_t name, net::Resolution resolution);
  void Take(size_t name, const net::Resolution& resolution);
  void Failed(const std::string& name, const Status& status);
  void Succeeded();
  void Report();

  runtime::Loop& loop_;
  net::Resolver& resolver_;
  const std::shared_ptr<const ClusterPlan> plan_;
  const std::function<void(const Assignment&)> changed_;
  std::vector<std::unique_ptr<net::Resolver::Query>> queries_;  // by name
  std::vector<std::vector<net::Address>> known_;                // by name
  std::optional<DnsStats::Of> stats_;
  uint64_t failures_ = 0;  // since the last success
  std::optional<MonotonicTime> logged_;
  bool is_told_ = false;  // a failure is in the log, its end is not
  size_t waiting_ = 0;
  bool has_news_ = true;
  runtime::Timer refresh_;
};

}  // namespace meltemi::proxy
