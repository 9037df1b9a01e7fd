// SPDX-License-Identifier: Apache-2.0
// meltemi wait --for=live
#include <memory>

#include "cli/command.h"
#include "cli/live.h"
#include "cli/running_mesh.h"

namespace meltemi::cli {
namespace {

struct Flags {
  std::string condition;
  std::string timeout = "30s";
};

int RunWait(const Globals& globals, const Flags& flags) {
  if (flags.condition != "live")
    return Fail("only --for=live can be waited for",
                "it holds when every proxy is live on what was applied");
  const auto timeout = ReadDuration(flags.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  return ReportLive(*mesh, *timeout, RealClock().Monotonic());
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--for", flags->condition, "live: every proxy does what was applied")->required();
  app.add_option("--timeout", flags->timeout, "how long at most; 124 is the exit code then")
      ->capture_default_str();
  return [flags](const Globals& globals) { return RunWait(globals, *flags); };
}

}  // namespace

extern const Command kWait = {"wait", "wait until every proxy is live on what was applied",
                              Declare};

}  // namespace meltemi::cli
