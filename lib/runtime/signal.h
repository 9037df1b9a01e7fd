// SPDX-License-Identifier: Apache-2.0
// Signals as events of a loop (signalfd). Make it before any thread starts: it blocks the signals
// for the calling thread, and threads inherit that.
#pragma once

#include <initializer_list>
#include <memory>

#include "lib/base/fd.h"
#include "lib/runtime/loop.h"

namespace meltemi::runtime {

class SignalWatcher final : private FdHandler {
 public:
  static StatusOr<std::unique_ptr<SignalWatcher>> Create(
      Loop& loop, std::initializer_list<int> signals,
      absl::AnyInvocable<void(int signal)> callback);
  ~SignalWatcher();  // the signals stay blocked
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  SignalWatcher(Loop& loop, Fd fd, absl::AnyInvocable<void(int)> callback)
      : loop_(loop), fd_(std::move(fd)), callback_(std::move(callback)) {}
  void OnReady(Ready ready) override;

  Loop& loop_;
  Fd fd_;
  absl::AnyInvocable<void(int)> callback_;
};

}  // namespace meltemi::runtime
