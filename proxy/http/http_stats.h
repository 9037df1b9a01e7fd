// SPDX-License-Identifier: Apache-2.0
// What a connection manager counts, by Envoy's names. Families are made once, on the control
// thread; each worker has a group of its own per connection manager.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/telemetry/stat_group.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

enum class HttpStat : uint8_t {
#define MELTEMI_HTTP_STAT(id, type, name, help) id,
#include "proxy/http/http_stats.def"
#undef MELTEMI_HTTP_STAT
  kClass1,  // answers by the first digit of their status
  kClass2,
  kClass3,
  kClass4,
  kClass5,
  kCount
};

class HttpStats final {
 public:
  HttpStats(const telemetry::StatFamilies* families, telemetry::Recorder* recorder,
            std::string_view prefix)
      : group_(families, recorder, prefix) {}
  void Count(HttpStat stat, uint64_t amount = 1) { group_.Add(static_cast<size_t>(stat), amount); }
  void Uncount(HttpStat gauge) { group_.Subtract(static_cast<size_t>(gauge)); }
  void CountAnswer(int status) {
    Count(HttpStat::kRequestsCompleted);
    if (status < 100 || status > 599) return;
    group_.Add(static_cast<size_t>(HttpStat::kClass1) + static_cast<size_t>(status / 100 - 1));
  }

 private:
  telemetry::StatGroup group_;
};

// The families of all connection managers.
std::shared_ptr<const telemetry::StatFamilies> NewHttpStatFamilies(telemetry::Registry& registry);

// The groups of one connection manager, by worker. Each worker touches its own slot only.
class HttpStatsByWorker final {
 public:
  HttpStatsByWorker(std::shared_ptr<const telemetry::StatFamilies> families, std::string prefix,
                    size_t workers)
      : families_(std::move(families)), prefix_(std::move(prefix)), slots_(workers) {}
  // The worker's thread.
  HttpStats& For(Worker& worker) const {
    std::unique_ptr<HttpStats>& slot = slots_[worker.index()];
    if (slot == nullptr) {
      slot = std::make_unique<HttpStats>(families_.get(), worker.recorder(), prefix_);
    }
    return *slot;
  }

 private:
  const std::shared_ptr<const telemetry::StatFamilies> families_;
  const std::string prefix_;
  mutable std::vector<std::unique_ptr<HttpStats>> slots_;
};

}  // namespace meltemi::proxy
