// SPDX-License-Identifier: Apache-2.0
// What one circuit breaker of a cluster counts: its own worker's, and through a count that all
// workers share the sum of them, which the limit is for (Envoy's too: a cluster's limits are the
// process's). A breaker without a limit touches nothing shared. Worker-local.
#pragma once

#include <cstdint>

#include "lib/runtime/shared_count.h"

namespace meltemi::proxy {

struct SharedBreakers {
  runtime::SharedCount connections, pending, requests, retries;
};

class BreakerCount final {
 public:
  static constexpr uint32_t kNoLimit = UINT32_MAX;  // what istiod writes

  BreakerCount() = default;
  ~BreakerCount() { Bind(nullptr); }
  BreakerCount(const BreakerCount&) = delete;
  BreakerCount& operator=(const BreakerCount&) = delete;

  // `shared` outlives this, or the next Bind; nullptr: this worker counts alone.
  void Bind(runtime::SharedCount* shared) {
    if (shared == shared_) return;
    if (shared_ != nullptr) shared_->Subtract(own_);
    shared_ = shared;
    if (shared_ != nullptr) shared_->Add(own_);
  }
  void Add() {
    ++own_;
    if (shared_ != nullptr) shared_->Add(1);
  }
  void Remove() {
    --own_;
    if (shared_ != nullptr) shared_->Subtract(1);
  }
  uint32_t own() const { return own_; }
  uint64_t all() const { return shared_ != nullptr ? shared_->value() : own_; }
  bool IsMet(uint32_t limit) const { return limit != kNoLimit && all() >= limit; }

 private:
  uint32_t own_ = 0;
  runtime::SharedCount* shared_ = nullptr;
};

}  // namespace meltemi::proxy
