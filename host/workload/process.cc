// SPDX-License-Identifier: Apache-2.0
#include "host/workload/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/sandbox/spawn.h"

namespace meltemi::host {

std::string Ending::text() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

StatusOr<std::unique_ptr<Process>> Process::Start(runtime::Loop& loop, const Command& command,
                                                  int out, std::function<void(Ending)> on_end) {
  if (command.argv.empty()) return absl::InvalidArgumentError("an empty command line");
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Spawned child = Spawn(command, {null.get(), out, out}, true);
  if (child.error != 0) {
    return absl::NotFoundError(fmt::format("starting {} in {}: {}", command.argv[0],
                                           command.working_directory, std::strerror(child.error)));
  }
  std::unique_ptr<Process> process(new Process(loop, std::move(on_end)));
  process->pid_ = child.pid;
  process->pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(process->pidfd_.get(), process.get()));
  return process;
}

Process::~Process() {
  if (pidfd_.valid()) loop_.Unwatch(pidfd_.get(), this);
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::Signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

void Process::OnReady(runtime::Ready) {
  int status = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return;
  pid_ = -1;
  loop_.Unwatch(pidfd_.get(), this);
  pidfd_.Reset();
  const std::function<void(Ending)> on_end = std::move(on_end_);
  on_end({WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0});
}

}  // namespace meltemi::host
