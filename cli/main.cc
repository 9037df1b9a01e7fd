// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/nearest.h"
#include "lib/base/log.h"

namespace meltemi::cli {
namespace {

const Command* FindCommand(std::string_view name) {
  for (const Command* command : AllCommands())
    if (command->name == name) return command;
  return nullptr;
}

int PrintHelp() {
  fmt::print("Meltemi: a service mesh on this machine.\n\nusage: meltemi COMMAND [FLAGS]\n\n");
  for (const Command* command : AllCommands())
    fmt::print("  {:<13} {}\n", command->name, command->summary);
  fmt::print(
      "\n`meltemi help COMMAND` shows its flags. Every command takes --mesh NAME (or MELTEMI_MESH) "
      "and -n NAMESPACE.\n");
  return kExitOk;
}

int RefuseCommand(const std::string& name) {
  std::vector<std::string> names;
  for (const Command* command : AllCommands()) names.emplace_back(command->name);
  const std::string nearest = Nearest(name, names);
  return Fail(fmt::format("there is no command {}", name),
              nearest.empty() ? "`meltemi help` lists them"
                              : fmt::format("did you mean `meltemi {}`?", nearest));
}

// The nearest flag of `app` to one that it refused.
std::string RemedyFor(const CLI::App& app, const CLI::ParseError& error, std::string_view name) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& flag : option->get_lnames()) flags.push_back("--" + flag);
  const std::string text = error.what();
  const size_t at = text.find("--");
  const std::string typed = at == std::string::npos ? "" : text.substr(at, text.find('=') - at);
  const std::string nearest = typed.empty() ? "" : Nearest(typed, flags);
  const std::string help = fmt::format("`meltemi help {}` shows its arguments", name);
  return nearest.empty() || nearest == typed ? help
                                             : fmt::format("did you mean {}? {}", nearest, help);
}

int RunCommand(const Command& command, const std::vector<std::string>& words) {
  CLI::App app(std::string(command.summary), fmt::format("meltemi {}", command.name));
  Globals globals;
  app.add_option("--mesh", globals.mesh, "name of the mesh on this machine")
      ->envname("MELTEMI_MESH")
      ->default_str("default");
  app.add_option("-n,--namespace", globals.ns, "namespace")->capture_default_str();
  const Run run = command.declare(app);
  // CLI11 throws; nothing of it leaves this function.
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    return Fail(error.what(), RemedyFor(app, error, command.name));
  }
  if (globals.mesh.empty()) globals.mesh = "default";
  return run(globals);
}

}  // namespace

int Fail(std::string_view what, std::string_view remedy) {
  std::fflush(stdout);
  fmt::print(stderr, "meltemi: {}\n", what);
  while (!remedy.empty()) {
    const size_t end = remedy.find('\n');
    fmt::print(stderr, "  {}\n", remedy.substr(0, end));
    remedy = end == std::string_view::npos ? std::string_view() : remedy.substr(end + 1);
  }
  return kExitFailed;
}

int Fail(const Status& status) {
  const std::string_view text = Message(status);
  const size_t line = text.find('\n');
  return Fail(text.substr(0, line),
              line == std::string_view::npos ? std::string_view() : text.substr(line + 1));
}

int Main(int argc, char** argv) {
  (void)log::Configure("warning");
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  // Flags that every command has may stand before it: they move behind it.
  std::vector<std::string> moved;
  while (words.size() > 2 && (words[0] == "--mesh" || words[0] == "-n")) {
    moved.insert(moved.end(), words.begin(), words.begin() + 2);
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.empty() || words[0] == "--help" || words[0] == "-h") return PrintHelp();
  if (words[0] == "--version") words[0] = "version";
  if (words[0] == "help") {
    if (words.size() < 2) return PrintHelp();
    words = {words[1], "--help"};
  }
  const Command* command = FindCommand(words[0]);
  if (command == nullptr) return RefuseCommand(words[0]);
  words.erase(words.begin());
  words.insert(words.begin(), moved.begin(), moved.end());
  return RunCommand(*command, words);
}

}  // namespace meltemi::cli
