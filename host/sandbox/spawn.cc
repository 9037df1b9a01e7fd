// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/spawn.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace meltemi::host {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the forked child: becomes the command, or tells `report` the errno and ends.
[[noreturn]] void Become(Command command, const std::array<int, 3>& stdio, int report) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) {
    ::signal(signal, SIG_DFL);  // ignored ones outlive exec
  }
  ::setsid();  // a group of its own: signals reach what the app started as well
  int error = 0;
  for (int i = 0; i < 3; ++i) {
    if (::dup2(stdio[static_cast<size_t>(i)], i) < 0) error = errno;
  }
  if (!command.working_directory.empty() && ::chdir(command.working_directory.c_str()) != 0) {
    error = errno;
  }
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

// The parent may have gone before the first call; then the child would wait for a death long past.
void DieWith(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);
}

}  // namespace

Spawned Spawn(const Command& command, const std::array<int, 3>& stdio, bool dies_with_parent) {
  int ends[2];
  if (command.argv.empty()) return {-1, EINVAL};
  if (::pipe2(ends, O_CLOEXEC) != 0) return {-1, errno};
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return {-1, errno};
  if (child == 0) {
    if (dies_with_parent) DieWith(parent);
    Become(command, stdio, write_end.get());
  }
  write_end.Reset();
  int error = 0;
  ssize_t got;
  do {
    got = ::read(read_end.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got != sizeof(error)) return {child, 0};
  ::waitpid(child, nullptr, 0);
  return {-1, error};
}

}  // namespace meltemi::host
