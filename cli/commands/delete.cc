// SPDX-License-Identifier: Apache-2.0
// meltemi delete -f FILE… | KIND NAME…
#include <fmt/format.h>

#include <memory>

#include "cli/actions.h"
#include "cli/command.h"
#include "cli/live.h"
#include "cli/manifests.h"
#include "cli/running_mesh.h"
#include "host/controllers/json.h"

namespace meltemi::cli {
namespace {

struct Flags {
  std::vector<std::string> files;
  std::vector<std::string> words;  // KIND NAME…
  std::string timeout = "10s";
  bool no_wait = false;
  bool ignore_not_found = false;
};

StatusOr<std::vector<Json>> Named(const std::vector<std::string>& words, const std::string& ns) {
  if (words.size() < 2)
    return absl::InvalidArgumentError(
        "what is to be deleted?\nwrite `meltemi delete -f FILE` or `meltemi delete KIND NAME`");
  MELTEMI_ASSIGN_OR_RETURN(const config::Kind* kind, KindByWord(words[0]));
  std::vector<Json> objects;
  for (size_t i = 1; i < words.size(); ++i) {
    Json metadata = {{"name", words[i]}};
    if (kind->is_namespaced) metadata["namespace"] = ns;
    objects.push_back({{"apiVersion", kind->api_version()},
                       {"kind", std::string(kind->kind)},
                       {"metadata", metadata}});
  }
  return objects;
}

StatusOr<std::vector<Json>> Doomed(const Globals& globals, const Flags& flags) {
  if (flags.files.empty()) return Named(flags.words, globals.ns);
  if (!flags.words.empty())
    return absl::InvalidArgumentError("give either -f FILE or KIND NAME\nleave one of them out");
  MELTEMI_ASSIGN_OR_RETURN(const auto objects, ReadObjects(flags.files, globals.ns));
  return DocumentsOf(objects);
}

int RunDelete(const Globals& globals, const Flags& flags) {
  const auto timeout = ReadDuration(flags.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  const auto objects = Doomed(globals, flags);
  if (!objects.ok()) return Fail(objects.status());
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  const MonotonicTime began = RealClock().Monotonic();
  const auto answer = mesh->Call([&](kube::Client& api, kube::Client::Answer done) {
    return api.DeleteAll(*objects, std::move(done));
  });
  if (!answer.ok()) return Fail(answer.status());
  PrintActions(*answer);
  size_t missing = 0;
  for (const Json& result : host::ArrayAt(*answer, "results"))
    if (host::StringAt(result, "action") == "not found") ++missing;
  const int live = flags.no_wait ? kExitOk : ReportLive(*mesh, *timeout, began);
  if (missing > 0 && flags.files.empty() && !flags.ignore_not_found)
    return Fail(fmt::format("{} of {} were not there", missing, objects->size()),
                fmt::format("`meltemi get {}` shows what there is", flags.words[0]));
  return live;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("words", flags->words, "KIND NAME…");
  app.add_option("-f,--filename", flags->files, "file, directory or - for stdin; repeatable")
      ->allow_extra_args(false);
  app.add_option("--timeout", flags->timeout, "how long to wait until proxies are live")
      ->capture_default_str();
  app.add_flag("--no-wait", flags->no_wait, "return once the change is stored");
  app.add_flag("--ignore-not-found", flags->ignore_not_found, "what is not there is no error");
  return [flags](const Globals& globals) { return RunDelete(globals, *flags); };
}

}  // namespace

extern const Command kDelete = {"delete", "delete objects, by file or by kind and name", Declare};

}  // namespace meltemi::cli
