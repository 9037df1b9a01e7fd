// SPDX-License-Identifier: Apache-2.0
#include "host/workload/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace meltemi::host {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void Become(Command command, int out, pid_t parent, int report) {
  // Ends with us. The parent may have gone before this call, then it would wait for a death long
  // past.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::setsid();
  const int null = ::open("/dev/null", O_RDONLY);
  int error = 0;
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) error = errno;
  if (!command.working_directory.empty() && ::chdir(command.working_directory.c_str()) != 0)
    error = errno;
  if (error == 0) {
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    std::vector<char*> environment = Pointers(command.env);
    std::vector<char*> arguments = Pointers(command.argv);
    ::environ = environment.data();
    ::execvp(arguments[0], arguments.data());
    error = errno;
  }
  if (::write(report, &error, sizeof(error)) < 0) ::_exit(126);
  ::_exit(127);
}

}  // namespace

std::string Ending::text() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

StatusOr<std::unique_ptr<Process>> Process::Start(runtime::Loop& loop, const Command& command,
                                                  int out, std::function<void(Ending)> on_end) {
  if (command.argv.empty()) return absl::InvalidArgumentError("an empty command line");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return absl::InternalError(fmt::format("making a pipe: {}", std::strerror(errno)));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  std::unique_ptr<Process> process(new Process(loop, std::move(on_end)));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return absl::InternalError(fmt::format("fork: {}", std::strerror(errno)));
  if (child == 0) Become(command, out, parent, write_end.get());
  process->pid_ = child;
  write_end.Reset();
  int error = 0;
  ssize_t got;
  do {
    got = ::read(read_end.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(error))
    return absl::NotFoundError(fmt::format("starting {} in {}: {}", command.argv[0],
                                           command.working_directory, std::strerror(error)));
  process->pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
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
