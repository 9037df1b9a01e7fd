// SPDX-License-Identifier: Apache-2.0
// meltemi run --service NAME [--version V] [--port 9080[/http]]… -- COMMAND: one more process joins
// the mesh, in the foreground, with the caller's environment and folder.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/log_reader.h"
#include "cli/running_mesh.h"
#include "cli/service_ports.h"
#include "cli/signals.h"
#include "host/controllers/json.h"
#include "host/mesh/control_socket.h"

namespace meltemi::cli {
namespace {

constexpr Duration kStartMax = std::chrono::seconds(30);
constexpr Duration kLogPoll = std::chrono::milliseconds(50);
// Drain and stop of a workload take this long at most.
constexpr Duration kStopMax = std::chrono::seconds(20);

struct Flags {
  std::string service, version, service_account = "default";
  std::vector<std::string> ports;
  std::vector<std::string> argv;
};

// The Service when it is missing: one that is there may say more than we know.
Status MakeService(RunningMesh& mesh, const Globals& globals, const Flags& flags,
                   const std::vector<ServicePort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  const auto found = mesh.Call([&](kube::Client& api, kube::Client::Answer done) {
    return api.Get(config::kinds::kService, globals.ns, flags.service, std::move(done));
  });
  if (!absl::IsNotFound(found.status())) return found.status();
  const Json service = ServiceFor(globals.ns, flags.service, ports);
  const auto made = mesh.Call([&](kube::Client& api, kube::Client::Answer done) {
    return api.ApplyAll({service}, std::move(done));
  });
  if (made.ok())
    fmt::print(stderr, "service {} is made, with port {}\n", flags.service, flags.ports[0]);
  return made.status();
}

// "reviews-v4", with a number when that one runs already.
std::string FreeName(const RunningMesh& mesh, const std::string& ns, const Flags& flags) {
  const std::string wanted =
      flags.version.empty() ? flags.service : flags.service + "-" + flags.version;
  std::string name = wanted;
  for (int number = 2;; ++number) {
    bool is_taken = false;
    for (const Json& workload : host::ArrayAt(mesh.status(), "workloads"))
      is_taken |=
          host::StringAt(workload, "namespace") == ns && host::StringAt(workload, "name") == name;
    if (!is_taken) return name;
    name = fmt::format("{}-{}", wanted, number);
  }
}

Json Request(const std::string& name, const Globals& globals, const Flags& flags,
             const std::vector<ServicePort>& ports) {
  Json labels = {{"app", flags.service}};
  if (!flags.version.empty()) labels["version"] = flags.version;
  Json env = Json::object();
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    const size_t equals = variable.find('=');
    if (equals != std::string::npos && equals > 0)
      env[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  Json container_ports = Json::array();
  for (const ServicePort& port : ports)
    container_ports.push_back({{"name", port.name}, {"containerPort", port.number}});
  std::error_code error;
  return {{"do", "run"},
          {"name", name},
          {"namespace", globals.ns},
          {"labels", labels},
          {"serviceAccount", flags.service_account},
          {"argv", flags.argv},
          {"env", env},
          {"workingDirectory", std::filesystem::current_path(error).string()},
          {"ports", container_ports}};
}

bool IsRunning(RunningMesh& mesh, const std::string& ns, const std::string& name) {
  if (!mesh.Refresh().ok()) return false;
  for (const Json& workload : host::ArrayAt(mesh.status(), "workloads"))
    if (host::StringAt(workload, "namespace") == ns && host::StringAt(workload, "name") == name)
      return true;
  return false;
}

// Prints the app's output until the workload has ended or a signal came; the exit code.
int Follow(host::ControlClient client, Signals& signals, LogReader& log, RunningMesh& mesh,
           const std::string& ns, const std::string& name) {
  for (;;) {
    const Readable ready = AwaitReadable(client.fd(), signals.fd(), kLogPoll);
    log.PrintNew();
    if (ready.first) {
      const auto ended = client.Next(kStartMax);
      log.PrintNew();
      if (!ended.ok()) return Fail("the mesh ended", "`meltemi up` starts it again");
      const int64_t signal = host::NumberAt(*ended, "signal");
      return static_cast<int>(signal != 0 ? 128 + signal : host::NumberAt(*ended, "exit"));
    }
    const int signal = ready.second ? signals.Next() : 0;
    if (signal == 0) continue;
    {
      // Closing asks the mesh to drain and stop it.
      const host::ControlClient closed = std::move(client);
    }
    fmt::print(stderr, "{} leaves the mesh; once more ends this at once\n", name);
    const MonotonicTime deadline = RealClock().Monotonic() + kStopMax;
    while (IsRunning(mesh, ns, name) && RealClock().Monotonic() < deadline) {
      log.PrintNew();
      if (signals.Next(kLogPoll) != 0) break;
    }
    log.PrintNew();
    return 128 + signal;
  }
}

int RunRun(const Globals& globals, const Flags& flags) {
  const auto ports = ReadPorts(flags.ports);
  if (!ports.ok()) return Fail(ports.status());
  if (!IsServiceName(flags.service))
    return Fail(fmt::format("\"{}\" is no name for a service", flags.service),
                "use lower-case letters, digits and hyphens, a letter first");
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  auto signals = Signals::Catch({SIGINT, SIGTERM, SIGHUP});
  if (!signals.ok()) return Fail(signals.status());
  const Status made = MakeService(*mesh, globals, flags, *ports);
  if (!made.ok()) return Fail(made);
  const std::string name = FreeName(*mesh, globals.ns, flags);
  auto client = host::ControlClient::Connect(globals.mesh);
  if (!client.ok()) return Fail(client.status());
  const auto started = client->Call(Request(name, globals, flags, *ports), {}, kStartMax);
  if (!started.ok()) return Fail(started.status());
  fmt::print(stderr, "{} joins the mesh at {}; Ctrl-C ends it\n", name,
             host::StringAt(*started, "address"));
  // Of this run: the name may have been used before.
  auto log = LogReader::Open(host::StringAt(*started, "appLog"), 0);
  if (!log.ok()) return Fail(log.status());
  return Follow(*std::move(client), *signals, *log, *mesh, globals.ns, name);
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--service", flags->service, "the service it belongs to; made when missing")
      ->required();
  app.add_option("--version", flags->version, "its version label");
  app.add_option("--port", flags->ports,
                 "where it listens, with the protocol when it is not http: 9080, 9000/tcp, "
                 "50051/grpc; repeatable")
      ->allow_extra_args(false);
  app.add_option("--service-account", flags->service_account, "its identity")
      ->capture_default_str();
  app.add_option("command", flags->argv, "after --: the command and its arguments")->required();
  return [flags](const Globals& globals) { return RunRun(globals, *flags); };
}

}  // namespace

extern const Command kRun = {"run", "let a process join the mesh: run --service NAME -- COMMAND",
                             Declare};

}  // namespace meltemi::cli
