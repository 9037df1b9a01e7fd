// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/signal.h"

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>

namespace meltemi::runtime {

StatusOr<std::unique_ptr<SignalWatcher>> SignalWatcher::Create(
    Loop& loop, std::initializer_list<int> signals, absl::AnyInvocable<void(int signal)> callback) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return absl::ErrnoToStatus(error, "pthread_sigmask");
  }
  Fd fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "signalfd");
  std::unique_ptr<SignalWatcher> watcher(
      new SignalWatcher(loop, std::move(fd), std::move(callback)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(watcher->fd_.get(), watcher.get()));
  return watcher;
}

SignalWatcher::~SignalWatcher() {
  loop_.Unwatch(fd_.get(), this);
}

void SignalWatcher::OnReady(Ready) {
  signalfd_siginfo info;
  while (read(fd_.get(), &info, sizeof info) == sizeof info) {
    callback_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace meltemi::runtime
