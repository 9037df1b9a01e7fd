// SPDX-License-Identifier: Apache-2.0
// meltemi up PATH…: judges everything, starts the mesh, applies, waits until all of it works.
// Whatever is wrong with what the user gave is told before anything runs; what is refused later, or
// Ctrl-C, takes the mesh down again.
#include "cli/up.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "cli/command.h"
#include "cli/live.h"
#include "cli/manifests.h"
#include "cli/output/mesh.h"
#include "cli/output/table.h"
#include "cli/running_mesh.h"
#include "host/controllers/addresses.h"
#include "host/controllers/json.h"
#include "host/controllers/kube_objects.h"
#include "host/mesh/mesh.h"
#include "host/mesh/state_directory.h"

namespace meltemi::cli {
namespace {

// How far a port that nobody asked for may be from the usual one.
constexpr int kPortsTried = 300;

struct Flags {
  std::vector<std::string> paths;
  std::string timeout = "60s";
  bool is_kept = false;
  bool has_no_gateway = false;
  uint16_t port = 0, tls_port = 0;  // of the gateway; 0 = not said
  host::MeshOptions mesh;
};

double SecondsSince(MonotonicTime began) {
  return std::chrono::duration<double>(RealClock().Monotonic() - began).count();
}

void Say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

// What the user said, or the usual port, or the next that is free: a second mesh, or a developer's
// own server on 8080, is no reason to fail.
uint16_t PortOr(uint16_t said, uint16_t usual) {
  if (said != 0) return said;
  for (int i = 0; i < kPortsTried; ++i)
    if (host::IsPortFree("0.0.0.0", static_cast<uint16_t>(usual + i)))
      return static_cast<uint16_t>(usual + i);
  return usual;
}

// Where a mesh remembers its image map, for --keep.
std::string KeptImagesFile(const std::string& mesh) {
  const auto state = host::StateDirectory::Of(mesh);
  return state.ok() ? state->path() + "/images-path" : "";
}

std::string KeptImages(const std::string& mesh) {
  std::ifstream file(KeptImagesFile(mesh));
  std::string path;
  std::getline(file, path);
  return path;
}

void KeepImages(const std::string& mesh, const std::string& path) {
  std::error_code error;
  std::ofstream(KeptImagesFile(mesh), std::ios::trunc)
      << (path.empty() ? "" : std::filesystem::absolute(path, error).string());
}

host::MeshOptions OptionsFor(const Globals& globals, const Flags& flags, const Signals& signals) {
  host::MeshOptions options = flags.mesh;
  options.name = globals.mesh;
  options.has_gateway = !flags.has_no_gateway;
  if (options.images_path.empty()) options.images_path = FindImages(flags.paths);
  if (options.images_path.empty() && flags.is_kept) options.images_path = KeptImages(globals.mesh);
  options.gateway_port = PortOr(flags.port, options.gateway_port);
  options.gateway_tls_port = PortOr(flags.tls_port, options.gateway_tls_port);
  options.interrupt_fd = signals.fd();
  options.open_objects = host::KubeObjects::Open;
  options.request_token = [](const std::string& api, const std::string& ns,
                             const std::string& account) {
    return host::RequestToken(api, ns, account);
  };
  if (!flags.is_kept)
    options.prepare_api = [](const std::string& api) { return host::DeleteEarlierObjects(api); };
  return options;
}

Status ApplyObjects(RunningMesh& mesh, const std::vector<config::ObjectPtr>& objects,
                    const Signals& signals) {
  if (objects.empty()) return absl::OkStatus();
  const auto answer = mesh.Call(
      [&](kube::Client& api, kube::Client::Answer done) {
        return api.ApplyAll(DocumentsOf(objects), std::move(done));
      },
      &signals);
  return WithPlaces(answer.status(), objects);
}

// All there are: --keep brings more than the paths do.
StatusOr<std::set<std::string>> StoredDeployments(RunningMesh& mesh, const Signals& signals) {
  MELTEMI_ASSIGN_OR_RETURN(const Json list, mesh.Call(
                                                [&](kube::Client& api, kube::Client::Answer done) {
                                                  return api.List(config::kinds::kDeployment, "",
                                                                  std::move(done));
                                                },
                                                &signals));
  std::set<std::string> deployments;
  for (const Json& item : host::ArrayAt(list, "items"))
    if (host::NumberAt(item, "spec/replicas", 1) > 0) deployments.insert(host::KeyOf(item));
  return deployments;
}

// What is done once the mesh runs. An error that the user must mend ends the mesh; the caller does
// that.
Status Fill(RunningMesh& mesh, const std::vector<config::ObjectPtr>& objects, Duration wait_max,
            Signals& signals, std::set<std::string>* deployments) {
  MELTEMI_RETURN_IF_ERROR(ApplyObjects(mesh, objects, signals));
  MELTEMI_ASSIGN_OR_RETURN(*deployments, StoredDeployments(mesh, signals));
  const MonotonicTime deadline = RealClock().Monotonic() + wait_max;
  MELTEMI_RETURN_IF_ERROR(AwaitDeployments(mesh, *deployments, deadline, signals));
  const auto live = AwaitLive(mesh, std::chrono::seconds(10), &signals);
  if (!live.ok()) return live.status();
  for (const std::string& one : live->rejected) fmt::print(stderr, "warning: {}\n", one);
  WarnOf(mesh, objects);
  return mesh.Refresh();
}

void PrintNext(const RunningMesh& mesh) {
  fmt::print("\n{}\n", WorkloadTable(mesh.status(), RealClock().Wall()));
  if (const std::string url = GatewayUrl(mesh.status()); !url.empty())
    fmt::print("gateway  {}\n", url);
  fmt::print(
      "try      meltemi status            who talks to whom\n"
      "         meltemi apply -f FILE     change how\n"
      "         meltemi down              end it all\n");
}

int TakeDown(const Globals& globals, const Status& why) {
  (void)host::Mesh::Down(globals.mesh);
  if (absl::IsCancelled(why))
    return Fail("interrupted; the mesh was taken down again", "`meltemi up` starts it anew");
  return Fail(why);
}

int RunUp(const Globals& globals, const Flags& flags) {
  const MonotonicTime began = RealClock().Monotonic();
  auto signals = Signals::Catch({SIGINT, SIGTERM, SIGHUP});
  if (!signals.ok()) return Fail(signals.status());
  const auto timeout = ReadDuration(flags.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  const auto objects = ReadObjects(flags.paths, globals.ns);
  if (!objects.ok()) return Fail(objects.status());
  const host::MeshOptions options = OptionsFor(globals, flags, *signals);
  const Status judged = JudgeDeployments(*objects, options.images_path);
  if (!judged.ok()) return Fail(judged);
  const auto up = host::Mesh::Up(options);
  if (!up.ok()) return Fail(up.status());
  Say(fmt::format("mesh {}: control plane{} ready after {}", globals.mesh,
                  options.has_gateway ? " and gateway" : "", HumanDuration(SecondsSince(began))));
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return TakeDown(globals, mesh.status());
  KeepImages(globals.mesh, options.images_path);
  std::set<std::string> deployments;
  const Status filled = Fill(*mesh, *objects, *timeout, *signals, &deployments);
  if (absl::IsDeadlineExceeded(filled)) {
    (void)Fail(filled);
    return kExitTimedOut;
  }
  if (!filled.ok()) return TakeDown(globals, filled);
  Say(fmt::format("{} objects applied, {} Deployment{} ready and live on every proxy after {}",
                  objects->size(), deployments.size(), deployments.size() == 1 ? "" : "s",
                  HumanDuration(SecondsSince(began))));
  PrintNext(*mesh);
  return kExitOk;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  host::MeshOptions& mesh = flags->mesh;
  app.add_option("paths", flags->paths,
                 "YAML of Services, Deployments and Istio's kinds: files, or directories of them");
  app.add_option("--images", mesh.images_path,
                 "which command stands for an image; images.yaml beside the paths or up to two "
                 "levels above by default");
  app.add_option("--mesh-config", mesh.mesh_config_path,
                 "MeshConfig in YAML; access logs and Istio's metrics by default");
  app.add_option("--gateway-port", flags->port,
                 "port 80 of the ingress gateway; 8080, or the next that is free");
  app.add_option("--gateway-tls-port", flags->tls_port,
                 "port 443 of the ingress gateway; 8443, or the next that is free");
  app.add_flag("--no-gateway", flags->has_no_gateway, "without an ingress gateway");
  app.add_flag("--keep", flags->is_kept, "go on with the objects an earlier run of the mesh had");
  app.add_option("--timeout", flags->timeout, "how long Deployments may take to be ready")
      ->capture_default_str();
  app.add_option("--concurrency", mesh.concurrency, "workers of each proxy")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--log-level", mesh.log_level, "of the control plane and of proxies")
      ->capture_default_str();
  return [flags](const Globals& globals) { return RunUp(globals, *flags); };
}

}  // namespace

extern const Command kUp = {"up", "start a mesh on this machine and what PATHs describe", Declare};

}  // namespace meltemi::cli
