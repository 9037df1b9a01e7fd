// SPDX-License-Identifier: Apache-2.0
// meltemi exec WORKLOAD -- COMMAND: with our stdin, stdout and stderr, inside the workload's
// sandbox.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "cli/command.h"
#include "cli/signals.h"
#include "host/mesh/control_socket.h"

namespace meltemi::cli {
namespace {

constexpr Duration kStartMax = std::chrono::seconds(10);
constexpr Duration kForever = std::chrono::hours(24 * 20);

struct Flags {
  std::string workload;
  std::vector<std::string> argv;
};

// Signals go to the command inside, which decides what they mean.
StatusOr<int> AwaitExit(host::ControlClient& client, Signals& signals) {
  for (;;) {
    const Readable ready = AwaitReadable(client.fd(), signals.fd(), kForever);
    if (ready.second) {
      if (const int number = signals.Next(); number != 0)
        MELTEMI_RETURN_IF_ERROR(client.Send({{"do", "signal"}, {"number", number}}));
    }
    if (!ready.first) continue;
    MELTEMI_ASSIGN_OR_RETURN(const host::Json ended, client.Next(kStartMax));
    if (const std::string why = host::StringAt(ended, "refused"); !why.empty())
      (void)Fail(fmt::format("the command cannot be started: {}", why),
                 "it is looked for in the PATH of the workload's app");
    const int64_t signal = host::NumberAt(ended, "signal");
    return static_cast<int>(signal != 0 ? 128 + signal : host::NumberAt(ended, "exit"));
  }
}

int RunExec(const Globals& globals, const Flags& flags) {
  auto client = host::ControlClient::Connect(globals.mesh);
  if (!client.ok()) return Fail(client.status());
  auto signals = Signals::Catch({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2});
  if (!signals.ok()) return Fail(signals.status());
  const auto started = client->Call({{"do", "exec"},
                                     {"workload", flags.workload},
                                     {"namespace", globals.ns},
                                     {"argv", flags.argv}},
                                    {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}, kStartMax);
  if (!started.ok()) return Fail(started.status());
  const auto code = AwaitExit(*client, *signals);
  if (!code.ok())
    return Fail("the workload ended while the command ran", "`meltemi status` shows it");
  return *code;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("workload", flags->workload, "a workload's name, or its app")->required();
  app.add_option("command", flags->argv, "after --: the command and its arguments")->required();
  return [flags](const Globals& globals) { return RunExec(globals, *flags); };
}

}  // namespace

extern const Command kExec = {"exec", "run a command inside a workload: exec WORKLOAD -- COMMAND",
                              Declare};

}  // namespace meltemi::cli
