// SPDX-License-Identifier: Apache-2.0
// A Kubernetes probe of an app, repeated as its period says. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/runtime/loop.h"

namespace meltemi::host {

enum class ProbeKind { kNone, kHttp, kTcp, kExec };

// Fields and defaults of core/v1 Probe.
struct Probe {
  ProbeKind kind = ProbeKind::kNone;
  uint16_t port = 0;
  std::string path = "/";
  std::string host{};     // Host header; "" = the workload's address
  std::string headers{};  // whole lines with CRLF
  std::vector<std::string> command{};
  Duration initial_delay = Duration::zero();
  Duration period = std::chrono::seconds(10);
  Duration timeout = std::chrono::seconds(1);
  int success_threshold = 1;
  int failure_threshold = 3;
  // Until it passes it is tried every kEagerPeriod, so that a mesh on a laptop is up when its apps
  // are and not seconds later. For readiness only: eager liveness would kill apps that start
  // slowly.
  bool is_eager = false;
  // Ends with its first verdict, which counts as passed either way: an app that names a port but no
  // readiness probe gets as long as the threshold says to open it, and is ready then as in
  // Kubernetes.
  bool is_once = false;
};

inline constexpr Duration kEagerPeriod = std::chrono::milliseconds(50);

// Runs attempts, counts thresholds, tells changes. Starts in the state "not yet known".
class Prober final {
 public:
  // One attempt: calls its argument once, later, perhaps after the prober has gone, or never.
  using Attempt = std::function<void(std::function<void(bool, const std::string&)>)>;
  // `is_passing` turned true or false by the thresholds; repeated failure is told once.
  using OnChange = std::function<void(bool is_passing, const std::string& why)>;

  Prober(runtime::Loop& loop, const Probe& probe, Attempt attempt, OnChange on_change)
      : probe_(probe),
        attempt_(std::move(attempt)),
        on_change_(std::move(on_change)),
        timer_(loop, [this] { Try(); }) {
    timer_.Arm(probe_.initial_delay);
  }

 private:
  void Try() {
    timer_.Arm(probe_.period + probe_.timeout);  // in case the attempt is never answered
    attempt_([this, alive = std::weak_ptr<void>(alive_)](bool is_healthy, const std::string& why) {
      if (!alive.expired()) Count(is_healthy, why);
    });
  }
  void Count(bool is_healthy, const std::string& why) {
    run_ = is_healthy == last_ ? run_ + 1 : 1;
    last_ = is_healthy;
    const bool has_flipped = is_healthy
                                 ? !is_passing_ && run_ >= probe_.success_threshold
                                 : (is_passing_ || !is_known_) && run_ >= probe_.failure_threshold;
    if (has_flipped) {
      is_known_ = true;
      is_passing_ = is_healthy;
    }
    const bool is_eager = probe_.is_eager && !is_passing_;
    timer_.Arm(is_eager ? std::min(kEagerPeriod, probe_.period) : probe_.period);
    if (!has_flipped) return;
    const OnChange on_change = on_change_;  // it may destroy this
    on_change(is_healthy, why);
  }

  const Probe probe_;
  Attempt attempt_;
  OnChange on_change_;
  bool is_known_ = false;
  bool is_passing_ = false;
  bool last_ = false;
  int run_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
  runtime::Timer timer_;
};

}  // namespace meltemi::host
