// SPDX-License-Identifier: Apache-2.0
// meltemi logs WORKLOAD [--proxy] [-f] [--tail N]
#include <csignal>
#include <memory>

#include "cli/command.h"
#include "cli/log_reader.h"
#include "cli/running_mesh.h"
#include "cli/signals.h"
#include "host/controllers/json.h"

namespace meltemi::cli {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(100);

struct Flags {
  std::string workload;
  bool is_proxy = false;
  bool is_followed = false;
  int64_t tail = -1;
};

int RunLogs(const Globals& globals, const Flags& flags) {
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  const auto workload = mesh->FindWorkload(flags.workload, globals.ns);
  if (!workload.ok()) return Fail(workload.status());
  const std::string path = host::StringAt(*workload, flags.is_proxy ? "proxyLog" : "appLog");
  if (path.empty()) return Fail("a gateway has no app", "add --proxy to see the log of its proxy");
  auto signals = Signals::Catch({SIGINT, SIGTERM});
  if (!signals.ok()) return Fail(signals.status());
  auto reader = LogReader::Open(path, flags.tail);
  if (!reader.ok()) return Fail(reader.status());
  while (reader->PrintNew() && flags.is_followed && signals->Next(kPoll) == 0) {
  }
  return kExitOk;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("workload", flags->workload, "a workload's name, or its app")->required();
  app.add_flag("--proxy", flags->is_proxy, "of its proxy, access log included");
  app.add_flag("-f,--follow", flags->is_followed, "go on with what comes");
  app.add_option("--tail", flags->tail, "only the last N lines");
  return [flags](const Globals& globals) { return RunLogs(globals, *flags); };
}

}  // namespace

extern const Command kLogs = {"logs", "print what a workload, or its proxy, wrote", Declare};

}  // namespace meltemi::cli
