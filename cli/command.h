// SPDX-License-Identifier: Apache-2.0
// One command of the command line: a constant descriptor at the foot of the one file that
// implements it, and a line in commands.cc. Help text and parsing derive from it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::cli {

// What the whole command line shares.
struct Globals {
  std::string mesh;            // name of the mesh on this machine
  std::string ns = "default";  // -n
};

// Exit codes users and scripts rely on.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitFindings = 2;
inline constexpr int kExitTimedOut = 124;

// What a command does; returns the exit code. Errors go to stderr by way of Fail().
using Run = std::function<int(const Globals&)>;

struct Command {
  std::string_view name;
  std::string_view summary;
  // Declares the flags on `app` and returns what runs with them; called once.
  Run (*declare)(CLI::App& app);
};

std::span<const Command* const> AllCommands();

// Prints "meltemi: <what>" and, when there is one, "  <remedy>"; returns kExitFailed.
int Fail(std::string_view what, std::string_view remedy = "");
// A status whose message may hold the remedy after a newline.
int Fail(const Status& status);

// Parses argv and runs the command. The program's main is this.
int Main(int argc, char** argv);

}  // namespace meltemi::cli
