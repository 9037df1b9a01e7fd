// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/live_waits.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cmd/meltemid/reports.h"

namespace meltemi::cmd {

void LiveWaits::Add(Duration timeout, std::shared_ptr<http::Responder> responder) {
  if (waits_.size() >= kLiveWaitsMax) {
    return responder->Send({.status = 503, .body = "too many wait already; ask again later\n"});
  }
  auto wait = std::make_shared<Wait>();
  wait->mark = feed_.Now();
  wait->began = loop_.Now();
  wait->responder = std::move(responder);
  // The wait owns what the callback is called by.
  const std::weak_ptr<Wait> weak = wait;
  wait->responder->OnCancelled([this, weak] {
    if (const auto gone = weak.lock()) gone->is_gone = true;
    Poke();
  });
  wait->timeout = std::make_unique<runtime::Timer>(loop_, [this, weak] {
    if (const auto late = weak.lock(); late != nullptr && !std::exchange(late->is_gone, true)) {
      Answer(*late);
    }
    Poke();
  });
  wait->timeout->Arm(std::min(timeout, kLiveWaitMax));
  waits_.push_back(std::move(wait));
  Poke();
}

void LiveWaits::Poke() {
  if (!waits_.empty()) loop_.Defer(&look_);
}

void LiveWaits::Check() {
  for (auto at = waits_.begin(); at != waits_.end();) {
    const std::shared_ptr<Wait> wait = *at;
    if (!wait->is_gone && !IsDecided(*wait)) {
      ++at;
      continue;
    }
    at = waits_.erase(at);
    if (!std::exchange(wait->is_gone, true)) Answer(*wait);
  }
}

bool LiveWaits::IsDecided(Wait& wait) const {
  if (!wait.version.has_value()) {
    if (!feed_.HasApplied(wait.mark)) return false;
    wait.version = feed_.version();
  }
  if (ads_.live_version() >= *wait.version) return true;
  const std::vector<xds::SessionStatus> proxies = ads_.Status();
  return std::all_of(proxies.begin(), proxies.end(), [&](const xds::SessionStatus& proxy) {
    return proxy.live_version >= *wait.version || proxy.is_settled;
  });
}

void LiveWaits::Answer(Wait& wait) const {
  using nlohmann::json;
  const uint64_t version = wait.version.value_or(feed_.version());
  const std::vector<xds::SessionStatus> proxies = ads_.Status();
  size_t live = 0;
  json rejected = json::array();
  for (const xds::SessionStatus& proxy : proxies) {
    if (wait.version.has_value() && proxy.live_version >= version) ++live;
    for (const xds::TypeStatus& type : proxy.types) {
      if (type.error.empty()) continue;
      rejected.push_back(
          {{"proxy", proxy.node_id}, {"type", TypeName(type.type)}, {"error", type.error}});
    }
  }
  const double waited_ms =
      std::chrono::duration<double, std::milli>(loop_.Now() - wait.began).count();
  wait.responder->Send(JsonPage({{"version", version},
                                 {"proxies", proxies.size()},
                                 {"live", live},
                                 {"rejected", std::move(rejected)},
                                 {"waited_ms", waited_ms}}));
}

}  // namespace meltemi::cmd
