// SPDX-License-Identifier: Apache-2.0
// A program run outside any sandbox: a proxy, the control plane. Loop thread only; destroying it
// kills it. The program ends with the supervisor, by whatever cause that ends.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "host/sandbox/messages.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/runtime/loop.h"

namespace meltemi::host {

// How something ended: by itself with `code`, or by `signal` when that is not zero.
struct Ending {
  int code = 0;
  int signal = 0;
  int error = 0;             // errno when it could not be started
  std::string text() const;  // "exit status 1", "signal 9 (Killed)"
};

class Process final : private runtime::FdHandler {
 public:
  // `out` takes stdout and stderr. `on_end` is called once, from the loop, and may destroy the
  // process.
  static StatusOr<std::unique_ptr<Process>> Start(runtime::Loop& loop, const Command& command,
                                                  int out, std::function<void(Ending)> on_end);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int number) const;
  pid_t pid() const { return pid_; }

 private:
  Process(runtime::Loop& loop, std::function<void(Ending)> on_end)
      : loop_(loop), on_end_(std::move(on_end)) {}
  void OnReady(runtime::Ready) override;

  runtime::Loop& loop_;
  std::function<void(Ending)> on_end_;
  pid_t pid_ = -1;
  Fd pidfd_;
};

}  // namespace meltemi::host
