// SPDX-License-Identifier: Apache-2.0
// Signals that a command takes into its own hands, by descriptor: Ctrl-C while it waits. Blocked
// from Catch() to the end of the process.
#pragma once

#include <initializer_list>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::cli {

class Signals final {
 public:
  static StatusOr<Signals> Catch(std::initializer_list<int> signals);

  int fd() const { return fd_.get(); }
  // The next one that came, 0 = none within `wait_max`.
  int Next(Duration wait_max = Duration::zero());
  // Whether one has come, which stays to be taken.
  bool HasCome() const;

 private:
  explicit Signals(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// Waits until either descriptor is readable (or hung up), or `wait_max` is over.
struct Readable {
  bool first = false, second = false;
};
Readable AwaitReadable(int first, int second, Duration wait_max);

}  // namespace meltemi::cli
