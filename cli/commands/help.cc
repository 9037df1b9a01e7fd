// SPDX-License-Identifier: Apache-2.0
// meltemi help [COMMAND]: here to be listed; Main answers it, since it needs every command.
#include "cli/command.h"

namespace meltemi::cli {
namespace {

int RunHelp(const Globals&) {
  return kExitOk;
}

Run Declare(CLI::App&) {
  return RunHelp;
}

}  // namespace

extern const Command kHelp = {"help", "list commands, or show the flags of one", Declare};

}  // namespace meltemi::cli
