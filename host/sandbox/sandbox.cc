// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "host/sandbox/first_process.h"
#include "host/sandbox/mounts.h"
#include "lib/capture/protocol.h"

namespace meltemi::host {
namespace {

Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (file.fail())
    return absl::InternalError(fmt::format("writing {}: {}", path, std::strerror(errno)));
  return absl::OkStatus();
}

Status CloneFailed(int error) {
  if (error == EPERM || error == ENOSPC || error == EUSERS || error == EINVAL || error == ENOSYS)
    return absl::PermissionDeniedError(fmt::format(
        "this kernel forbids namespaces to ordinary users ({})\n"
        "allow them: sysctl user.max_user_namespaces=10000 user.max_net_namespaces=10000 "
        "kernel.unprivileged_userns_clone=1",
        std::strerror(error)));
  return absl::InternalError(fmt::format("making namespaces: {}", std::strerror(error)));
}

Status PrepareFiles(const SandboxOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error)
    return absl::InternalError(fmt::format("making {}: {}", options.directory, error.message()));
  MELTEMI_RETURN_IF_ERROR(
      WriteText(options.directory + "/resolv.conf", ResolvConf(options.ns, options.domain)));
  return WriteText(options.directory + "/hosts", Hosts(options.hostname, options.ip));
}

}  // namespace

StatusOr<Sandbox> Sandbox::Create(const SandboxOptions& options) {
  MELTEMI_RETURN_IF_ERROR(PrepareFiles(options));
  Sandbox sandbox;
  sandbox.directory_ = options.directory;
  sandbox.capture_path_ = options.directory + "/capture.sock";
  MELTEMI_ASSIGN_OR_RETURN(const Fd capture_listener, capture::ListenAt(sandbox.capture_path_));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return absl::InternalError(fmt::format("making a socket pair: {}", std::strerror(errno)));
  sandbox.control_ = Fd(pair[0]);
  const Fd inside(pair[1]);
  FirstProcess first{.control = inside.get(),
                     .capture_listener = capture_listener.get(),
                     .uid = ::geteuid(),
                     .gid = ::getegid(),
                     .hostname = options.hostname,
                     .ip = options.ip,
                     .resolv_conf_path = options.directory + "/resolv.conf",
                     .hosts_path = options.directory + "/hosts"};
  constexpr unsigned long kNamespaces =
      CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  // The raw call: it forks like fork() but into new namespaces, so that the child is process 1 of
  // its PID namespace and our own child at once.
  const long pid = ::syscall(SYS_clone, kNamespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return CloneFailed(errno);
  if (pid == 0) RunFirstProcess(first);
  sandbox.pid_ = static_cast<pid_t>(pid);
  MELTEMI_RETURN_IF_ERROR(sandbox.AwaitReady(options.setup_wait_max));
  ::fcntl(sandbox.control_.get(), F_SETFL, O_NONBLOCK);
  return sandbox;
}

Sandbox::Sandbox(Sandbox&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      control_(std::move(other.control_)),
      directory_(std::exchange(other.directory_, "")),
      capture_path_(std::move(other.capture_path_)),
      next_id_(other.next_id_) {}

Sandbox::~Sandbox() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (directory_.empty()) return;
  std::error_code ignored;
  for (const char* file : {"/capture.sock", "/resolv.conf", "/hosts"})
    std::filesystem::remove(directory_ + file, ignored);
  std::filesystem::remove(directory_, ignored);
}

Status Sandbox::AwaitReady(Duration wait_max) {
  pollfd ready{control_.get(), POLLIN, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait_max).count();
  if (::poll(&ready, 1, static_cast<int>(ms)) != 1)
    return absl::DeadlineExceededError("the sandbox was not set up in time");
  const StatusOr<Fields> fields = ReceiveFields(control_.get(), nullptr);
  if (!fields.ok()) return WithContext(fields.status(), "setting the sandbox up");
  if (fields->size() == 1 && (*fields)[0] == "ready") return absl::OkStatus();
  if (fields->size() == 3 && (*fields)[0] == "failed")
    return Status(static_cast<absl::StatusCode>(Number((*fields)[1])), ToAbsl((*fields)[2]));
  return absl::InternalError("the sandbox said something unknown");
}

StatusOr<uint32_t> Sandbox::Run(const Command& command, int in, int out, int err) {
  if (command.argv.empty()) return absl::InvalidArgumentError("an empty command line");
  const uint32_t id = next_id_++;
  MELTEMI_RETURN_IF_ERROR(SendFields(control_.get(), RunFields(id, command), {in, out, err}));
  return id;
}

Status Sandbox::Signal(uint32_t id, int number) {
  return SendFields(control_.get(), {"signal", std::to_string(id), std::to_string(number)});
}

StatusOr<SandboxEvent> Sandbox::NextEvent() {
  const StatusOr<Fields> fields = ReceiveFields(control_.get(), nullptr);
  if (!fields.ok()) {
    if (absl::IsUnavailable(fields.status())) return fields.status();
    return absl::CancelledError("the sandbox has ended");
  }
  const Fields& f = *fields;
  const auto number = [&f](size_t i) { return static_cast<int>(Number(f[i])); };
  if (f.size() == 3 && f[0] == "started")
    return Started{static_cast<uint32_t>(number(1)), number(2)};
  if (f.size() == 3 && f[0] == "refused")
    return Refused{static_cast<uint32_t>(number(1)), number(2)};
  if (f.size() == 4 && f[0] == "exited")
    return Exited{static_cast<uint32_t>(number(1)), number(2), number(3)};
  return absl::CancelledError("the sandbox said something unknown");
}

}  // namespace meltemi::host
