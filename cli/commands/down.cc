// SPDX-License-Identifier: Apache-2.0
// meltemi down
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/output/table.h"
#include "host/mesh/mesh.h"

namespace meltemi::cli {
namespace {

int RunDown(const Globals& globals) {
  const MonotonicTime began = RealClock().Monotonic();
  const Status status = host::Mesh::Down(globals.mesh);
  if (!status.ok()) return Fail(status);
  const double seconds = std::chrono::duration<double>(RealClock().Monotonic() - began).count();
  fmt::print("mesh {} is down after {}; nothing of it runs any more\n", globals.mesh,
             HumanDuration(seconds));
  fmt::print("its objects are kept: `meltemi up --keep` goes on with them\n");
  return kExitOk;
}

Run Declare(CLI::App&) {
  return RunDown;
}

}  // namespace

extern const Command kDown = {"down", "drain and end every workload and the mesh", Declare};

}  // namespace meltemi::cli
