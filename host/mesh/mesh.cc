// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/mesh.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/controllers/addresses.h"
#include "host/controllers/image_map.h"
#include "host/mesh/control_socket.h"
#include "host/mesh/programs.h"
#include "host/mesh/supervisor.h"
#include "lib/base/log.h"
#include "lib/config/parse.h"

namespace meltemi::host {
namespace {

// What apps and programs get of the user's environment; nothing else, so that a mesh does not
// depend on the terminal it was started from.
std::vector<std::string> BaseEnvironment() {
  std::vector<std::string> env;
  for (const char* name : {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"})
    if (const char* value = std::getenv(name)) env.push_back(std::string(name) + "=" + value);
  return env;
}

// What the charts of Istio set beyond its defaults, and access logs, which one machine can afford.
constexpr const char* kMeshConfig =
    "accessLogFile: /dev/stdout\n"
    "defaultProviders:\n"
    "  metrics: [prometheus]\n";

// The file the control plane is given. Requires: the state directory exists.
StatusOr<std::string> MeshConfigFile(const StateDirectory& state, const MeshOptions& options) {
  std::error_code error;
  if (!options.mesh_config_path.empty()) {
    const auto path = std::filesystem::absolute(options.mesh_config_path, error);
    if (std::filesystem::is_regular_file(path, error)) return path.string();
    return absl::NotFoundError(fmt::format(
        "there is no mesh config {}\ncheck its name, or leave it out", options.mesh_config_path));
  }
  const std::string path = state.path() + "/mesh.yaml";
  std::ofstream file(path, std::ios::trunc);
  file << kMeshConfig;
  file.close();
  if (!file) return absl::UnavailableError(fmt::format("{} cannot be written\nmake room", path));
  return path;
}

// Environment of every proxy, as the mesh config says. What is wrong in the file is meltemid's to
// tell.
std::vector<std::string> ProxyMetadata(const std::string& mesh_config) {
  std::ifstream file(mesh_config);
  std::ostringstream text;
  text << file.rdbuf();
  std::vector<std::string> env;
  const auto documents = config::ParseYaml(text.str(), mesh_config);
  if (!documents.ok()) return env;
  for (const Json& document : *documents)
    for (const auto& [name, value] : MapAt(document, "defaultConfig/proxyMetadata"))
      env.push_back(name + "=" + value);
  return env;
}

StatusOr<Programs> FindPrograms(const StateDirectory& state, const MeshOptions& options) {
  Programs programs;
  programs.directory = options.programs_directory;
  if (programs.directory.empty()) {
    std::error_code error;
    programs.directory = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  }
  programs.state = state.path() + "/meltemid";
  programs.domain = options.domain;
  programs.mesh = options.name;
  programs.log_level = options.log_level;
  programs.concurrency = options.concurrency;
  programs.env = BaseEnvironment();
  MELTEMI_RETURN_IF_ERROR(programs.Check());
  MELTEMI_ASSIGN_OR_RETURN(programs.mesh_config, MeshConfigFile(state, options));
  programs.proxy_env = ProxyMetadata(programs.mesh_config);
  MELTEMI_ASSIGN_OR_RETURN(programs.ports, PickPorts());
  MELTEMI_ASSIGN_OR_RETURN(programs.api_socket, state.ApiSocket());
  return programs;
}

Status CheckGatewayPorts(const MeshOptions& options) {
  if (!options.has_gateway) return absl::OkStatus();
  for (const auto& [port, flag] : {std::pair{options.gateway_port, "--gateway-port"},
                                   std::pair{options.gateway_tls_port, "--gateway-tls-port"}}) {
    if (IsPortFree("0.0.0.0", port)) continue;
    if (port < 1024 && ::geteuid() != 0)
      return absl::PermissionDeniedError(fmt::format(
          "port {} of the gateway is reserved to root\nuse a port from 1024 up: {} 8080", port,
          flag));
    return absl::FailedPreconditionError(fmt::format(
        "port {} of the gateway is in use\nend what listens there, or choose another: {} PORT",
        port, flag));
  }
  return absl::OkStatus();
}

// In the child: leaves the terminal, keeps the lock and the report, becomes the supervisor. Never
// returns.
[[noreturn]] void BecomeSupervisor(const StateDirectory& state, const MeshOptions& options,
                                   const ImageMap& images, const Programs& programs, Fd lock,
                                   Fd report) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int log = ::open(state.supervisor_log().c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (log >= 0 && null >= 0) {
    ::dup2(null, 0);
    ::dup2(log, 1);
    ::dup2(log, 2);
  }
  // The caller's other descriptors (its terminal's pipes, say) must not stay open here.
  const int kept_lock = ::fcntl(lock.get(), F_DUPFD_CLOEXEC, 900);
  const int kept_report = ::fcntl(report.get(), F_DUPFD_CLOEXEC, 900);
  (void)lock.Release();
  (void)report.Release();
  ::close_range(3, 899, 0);
  if (::chdir("/") != 0) ::_exit(1);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  (void)state.WritePid(Fd(::dup(kept_lock)));
  RunSupervisor(state, options, images, programs, [kept_report](const StatusOr<Json>& up) {
    const std::string text = (up.ok() ? *up : ErrorJson(up.status()))
                                 .dump(-1, ' ', false, Json::error_handler_t::replace);
    if (::write(kept_report, text.data(), text.size()) < 0) return;
    ::close(kept_report);
  });
  state.RemoveLeftovers();
  ::_exit(0);
}

// Reads the child's report to its end.
StatusOr<Json> AwaitReport(int report, const MeshOptions& options, const StateDirectory& state) {
  std::string text;
  const Duration wait_max = options.ready_wait_max;
  const auto deadline = std::chrono::steady_clock::now() + wait_max;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ready[] = {{report, POLLIN, 0}, {options.interrupt_fd, POLLIN, 0}};
    const int count = left.count() <= 0 ? 0 : ::poll(ready, 2, static_cast<int>(left.count()));
    if (count < 0 && errno == EINTR) continue;
    if (ready[1].revents != 0) return absl::CancelledError("interrupted; nothing was left running");
    if (count == 0)
      return absl::DeadlineExceededError(
          fmt::format("the mesh was not up within {} s\nsee {} and the logs beside it",
                      std::chrono::duration_cast<std::chrono::seconds>(wait_max).count(),
                      state.supervisor_log()));
    char part[4096];
    const ssize_t size = ::read(report, part, sizeof(part));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part, static_cast<size_t>(size));
  }
  const Json answer = Json::parse(text, nullptr, false);
  if (!answer.is_object())
    return absl::InternalError(fmt::format(
        "the mesh ended while it started\nsee {} and the logs beside it", state.supervisor_log()));
  MELTEMI_RETURN_IF_ERROR(ErrorOf(answer));
  return answer;
}

}  // namespace

StatusOr<Json> Mesh::Up(const MeshOptions& options) {
  MELTEMI_ASSIGN_OR_RETURN(const StateDirectory state, StateDirectory::Of(options.name));
  return UpAt(state, options);
}

StatusOr<Json> Mesh::UpAt(const StateDirectory& state, const MeshOptions& options) {
  if (options.open_objects == nullptr || options.request_token == nullptr)
    return absl::UnimplementedError(
        "this build has no client for the control plane's API\nuse a build with lib/kube");
  ImageMap images;
  if (!options.images_path.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(images, ImageMap::Load(options.images_path));
  }
  MELTEMI_RETURN_IF_ERROR(state.Make());
  MELTEMI_ASSIGN_OR_RETURN(Fd lock, state.Lock());
  MELTEMI_RETURN_IF_ERROR(CheckGatewayPorts(options));
  MELTEMI_ASSIGN_OR_RETURN(const Programs programs, FindPrograms(state, options));
  state.RemoveLeftovers();
  // Logs of Pods that ended with an earlier run would pile up: their names never come again.
  std::error_code ignored;
  std::filesystem::remove_all(state.pods(), ignored);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return absl::InternalError(fmt::format("making a pipe: {}", std::strerror(errno)));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return absl::InternalError(fmt::format("fork: {}", std::strerror(errno)));
  if (child == 0)
    BecomeSupervisor(state, options, images, programs, std::move(lock), std::move(write_end));
  lock.Reset();  // the child's copy holds it
  write_end.Reset();
  StatusOr<Json> up = AwaitReport(read_end.get(), options, state);
  if (up.ok()) return up;
  // Whatever it is doing, it ends; the kernel ends what it started.
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  state.RemoveLeftovers();
  return up;
}

Status Mesh::Down(const std::string& name, Duration wait_max) {
  MELTEMI_ASSIGN_OR_RETURN(const StateDirectory state, StateDirectory::Of(name));
  return DownAt(state, wait_max);
}

Status Mesh::DownAt(const StateDirectory& state, Duration wait_max) {
  const int holder = state.LockHolder();
  if (holder == 0) {
    std::error_code ignored;
    if (std::filesystem::exists(state.path(), ignored)) state.RemoveLeftovers();
    return absl::FailedPreconditionError(
        fmt::format("the mesh {} is not up\n`meltemi up` starts it", state.mesh()));
  }
  auto client = ControlClient::ConnectAt(state.control_socket(), state.mesh());
  Status asked = client.status();
  if (client.ok()) {
    // The answer is that the supervisor has gone.
    asked = client->Call({{"do", "stop"}}, {}, wait_max).status();
    if (absl::IsCancelled(asked)) asked = absl::OkStatus();
  }
  if (!asked.ok()) {
    ::kill(holder, SIGKILL);
    MELTEMI_LOG(warn, "the mesh did not end by itself ({}); it was killed", Message(asked));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (state.LockHolder() != 0) {
    if (std::chrono::steady_clock::now() > deadline)
      return absl::DeadlineExceededError(
          fmt::format("process {} of the mesh {} does not end\nend it by hand: kill -9 {}", holder,
                      state.mesh(), holder));
    ::usleep(2000);
  }
  state.RemoveLeftovers();
  return absl::OkStatus();
}

}  // namespace meltemi::host
