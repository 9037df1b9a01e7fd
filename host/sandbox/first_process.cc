// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/first_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "host/sandbox/messages.h"
#include "host/sandbox/mounts.h"
#include "host/sandbox/network.h"
#include "host/sandbox/privileges.h"
#include "host/sandbox/proof.h"
#include "host/sandbox/spawn.h"
#include "lib/capture/server.h"

namespace meltemi::host {
namespace {

// A proxy has one connection per worker and one for its control thread; a second proxy may overlap.
constexpr size_t kCaptureConnectionsMax = 256;

void CloseAllBut(int a, int b) {
  const unsigned low = static_cast<unsigned>(a < b ? a : b);
  const unsigned high = static_cast<unsigned>(a < b ? b : a);
  if (low > 3) ::close_range(3, low - 1, 0);
  if (high > low + 1) ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
}

StatusOr<capture::Server> SetUp(const FirstProcess& options) {
  MELTEMI_RETURN_IF_ERROR(MapOwnIds(options.uid, options.gid));
  if (::sethostname(options.hostname.data(), options.hostname.size()) != 0) errno = 0;
  MELTEMI_RETURN_IF_ERROR(SetUpNetwork(options.ip));
  MELTEMI_ASSIGN_OR_RETURN(
      capture::Server server,
      capture::Server::Open({capture::kOutboundPort, capture::kDnsPort}, {capture::kDnsPort}));
  MELTEMI_RETURN_IF_ERROR(ProveCapture(server));
  MELTEMI_RETURN_IF_ERROR(SetUpMounts(options.resolv_conf_path, options.hosts_path));
  MELTEMI_RETURN_IF_ERROR(DropPrivileges());
  return server;
}

// Poll-driven, single-threaded; blocks only in poll.
class Loop final {
 public:
  Loop(const FirstProcess& options, capture::Server server, int child_signals)
      : control_(options.control),
        capture_listener_(options.capture_listener),
        child_signals_(child_signals),
        server_(std::move(server)) {}

  [[noreturn]] void Run() {
    for (;;) {
      std::vector<pollfd> watched = {
          {control_, POLLIN, 0}, {capture_listener_, POLLIN, 0}, {child_signals_, POLLIN, 0}};
      for (const Fd& connection : connections_) watched.push_back({connection.get(), POLLIN, 0});
      if (::poll(watched.data(), watched.size(), -1) < 0) continue;
      if (watched[0].revents != 0) Obey();
      if (watched[2].revents != 0) Reap();
      ServeCapture(watched);
      if (watched[1].revents != 0) AcceptCapture();
    }
  }

 private:
  void Obey() {
    std::vector<Fd> stdio;
    const StatusOr<Fields> fields = ReceiveFields(control_, &stdio);
    if (!fields.ok()) {
      if (absl::IsUnavailable(fields.status())) return;
      ::_exit(0);  // the owner is gone: everything in here goes too
    }
    if (fields->empty()) return;
    if ((*fields)[0] == "run") Start(*fields, stdio);
    if ((*fields)[0] == "signal" && fields->size() == 3) Signal(*fields);
  }

  void Start(const Fields& fields, const std::vector<Fd>& stdio) {
    StatusOr<Command> command = ParseRun(fields);
    if (!command.ok() || stdio.size() != 3) return Refuse(fields, EINVAL);
    const Spawned child = Spawn(*command, {stdio[0].get(), stdio[1].get(), stdio[2].get()}, false);
    if (child.error != 0) return Refuse(fields, child.error);
    running_[child.pid] = fields[1];
    Tell({"started", fields[1], std::to_string(child.pid)});
  }

  void Refuse(const Fields& fields, int error) {
    Tell({"refused", fields.size() > 1 ? fields[1] : "", std::to_string(error)});
  }

  void Signal(const Fields& fields) {
    const int64_t number = Number(fields[2]);
    if (number < 1 || number > SIGRTMAX) return;
    for (const auto& [pid, id] : running_)
      if (id == fields[1]) ::kill(-pid, static_cast<int>(number));
  }

  void Reap() {
    signalfd_siginfo drained;
    while (::read(child_signals_, &drained, sizeof(drained)) == sizeof(drained)) {
    }
    int status;
    pid_t pid;
    while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
      const auto found = running_.find(pid);
      if (found == running_.end()) continue;  // an orphan of the app
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
      const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      Tell({"exited", found->second, std::to_string(code), std::to_string(signal)});
      running_.erase(found);
    }
  }

  void ServeCapture(const std::vector<pollfd>& watched) {
    std::vector<Fd> kept;
    for (size_t i = 0; i < connections_.size(); ++i) {
      const bool has_news = watched[i + 3].revents != 0;
      if (!has_news || server_.ServeOne(connections_[i].get()))
        kept.push_back(std::move(connections_[i]));
    }
    connections_ = std::move(kept);
  }

  void AcceptCapture() {
    Fd connection(::accept4(capture_listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid() && connections_.size() < kCaptureConnectionsMax)
      connections_.push_back(std::move(connection));
  }

  void Tell(const Fields& fields) {
    // The socket blocks while the owner is behind; once the owner has gone there is nobody to tell.
    if (!SendFields(control_, fields).ok()) ::_exit(0);
  }

  int control_;
  int capture_listener_;
  int child_signals_;
  capture::Server server_;
  std::vector<Fd> connections_;
  std::map<pid_t, std::string> running_;
};

}  // namespace

void RunFirstProcess(const FirstProcess& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  CloseAllBut(options.control, options.capture_listener);
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &children, nullptr);
  StatusOr<capture::Server> server = SetUp(options);
  if (!server.ok()) {
    (void)SendFields(options.control,
                     {"failed", std::to_string(static_cast<int>(server.status().code())),
                      std::string(Message(server.status()))});
    ::_exit(1);
  }
  // Dropping privileges clears the death signal's effect on a changed credential; set it again.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const int child_signals = ::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (!SendFields(options.control, {"ready"}).ok()) ::_exit(0);
  Loop(options, *std::move(server), child_signals).Run();
}

}  // namespace meltemi::host
