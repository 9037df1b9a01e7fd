// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace meltemi::cli {

StatusOr<Signals> Signals::Catch(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid() || ::sigprocmask(SIG_BLOCK, &set, nullptr) != 0)
    return absl::InternalError(fmt::format("catching signals: {}", std::strerror(errno)));
  return Signals(std::move(fd));
}

int Signals::Next(Duration wait_max) {
  if (wait_max > Duration::zero()) AwaitReadable(fd_.get(), -1, wait_max);
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof(info)) != sizeof(info)) return 0;
  return static_cast<int>(info.ssi_signo);
}

bool Signals::HasCome() const {
  return AwaitReadable(fd_.get(), -1, Duration::zero()).first;
}

Readable AwaitReadable(int first, int second, Duration wait_max) {
  pollfd polled[] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait_max).count();
  if (::poll(polled, 2, static_cast<int>(ms)) <= 0) return {};
  return {polled[0].revents != 0, polled[1].revents != 0};
}

}  // namespace meltemi::cli
