// SPDX-License-Identifier: Apache-2.0
// meltemi apply -f FILE…: all objects or none, then waits until every proxy is live on them.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/actions.h"
#include "cli/command.h"
#include "cli/live.h"
#include "cli/manifests.h"
#include "cli/running_mesh.h"
#include "cli/up.h"

namespace meltemi::cli {
namespace {

struct Flags {
  std::vector<std::string> files;
  std::string timeout = "10s";
  bool no_wait = false;
};

int RunApply(const Globals& globals, const Flags& flags) {
  const auto timeout = ReadDuration(flags.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  const auto objects = ReadObjects(flags.files, globals.ns);
  if (!objects.ok()) return Fail(objects.status());
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  const MonotonicTime began = RealClock().Monotonic();
  const auto answer = mesh->Call([&](kube::Client& api, kube::Client::Answer done) {
    return api.ApplyAll(DocumentsOf(*objects), std::move(done));
  });
  if (!answer.ok()) return Fail(WithPlaces(answer.status(), *objects));
  PrintActions(*answer);
  if (flags.no_wait) return kExitOk;
  const int live = ReportLive(*mesh, *timeout, began);
  WarnOf(*mesh, *objects);
  // Whether this machine can run a Deployment is known once the host has tried.
  if (!mesh->Refresh().ok()) return live;
  const Status runs = CheckDeployments(mesh->status(), DeploymentsOf(*objects));
  return runs.ok() ? live : Fail(runs);
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("-f,--filename", flags->files, "file, directory or - for stdin; repeatable")
      ->required()
      ->allow_extra_args(false);
  app.add_option("--timeout", flags->timeout, "how long to wait until proxies are live")
      ->capture_default_str();
  app.add_flag("--no-wait", flags->no_wait, "return once the change is stored");
  return [flags](const Globals& globals) { return RunApply(globals, *flags); };
}

}  // namespace

extern const Command kApply = {"apply", "make the mesh's objects as files say", Declare};

}  // namespace meltemi::cli
