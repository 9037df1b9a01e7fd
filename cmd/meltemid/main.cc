// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdio>

#include "cmd/meltemid/daemon.h"
#include "cmd/meltemid/flags.h"
#include "lib/base/log.h"
#include "lib/runtime/signal.h"

namespace {

int Fail(const meltemi::Status& status) {
  fmt::print(stderr, "meltemid: {}\n", meltemi::Message(status));
  return 1;
}

// One descriptor for each proxy: shells start processes with a soft limit of about a thousand.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace meltemi;
  int exit_code = 1;
  auto flags = cmd::ParseFlags(argc, argv, exit_code);
  if (!flags.has_value()) return exit_code;
  if (!log::Configure(flags->log_level)) {
    fmt::print(stderr, "meltemid: --log-level: no level '{}'; use info\n", flags->log_level);
    return 1;
  }
  // A peer that went, a file that may not grow: errors of the write, not ends of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  RaiseDescriptorLimit();
  auto loop = runtime::Loop::Create();
  if (!loop.ok()) return Fail(loop.status());
  std::unique_ptr<cmd::Daemon> daemon;
  auto signals = runtime::SignalWatcher::Create(
      **loop, {SIGTERM, SIGINT}, [&](int) { daemon->Drain([&] { (*loop)->Stop(); }); });
  if (!signals.ok()) return Fail(signals.status());
  auto started = cmd::Daemon::Start(**loop, *std::move(flags));
  if (!started.ok()) return Fail(started.status());
  daemon = *std::move(started);
  (*loop)->Run();
  return 0;
}
