// SPDX-License-Identifier: Apache-2.0
// meltemi version
#include <fmt/format.h>

#include "cli/command.h"

namespace meltemi::cli {
namespace {

int RunVersion(const Globals&) {
  fmt::print("meltemi {}\n", MELTEMI_VERSION);
  return kExitOk;
}

Run Declare(CLI::App&) {
  return RunVersion;
}

}  // namespace

extern const Command kVersion = {"version", "print the version", Declare};

}  // namespace meltemi::cli
