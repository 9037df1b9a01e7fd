// SPDX-License-Identifier: Apache-2.0
// meltemi status: control plane, gateway, workloads, edges, problems.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command.h"
#include "cli/edges.h"
#include "cli/live.h"
#include "cli/output/mesh.h"
#include "cli/running_mesh.h"
#include "host/controllers/json.h"

namespace meltemi::cli {
namespace {

struct Flags {
  std::string output = "table";
};

int PrintText(RunningMesh& mesh) {
  const Json& status = mesh.status();
  fmt::print("{}", MeshSummary(status, RealClock().Wall()));
  fmt::print("\n{}", WorkloadTable(status, RealClock().Wall()));
  const std::vector<Edge> edges = ReadEdges(mesh);
  if (edges.empty()) {
    fmt::print("\nno calls between workloads yet\n");
  } else {
    const auto protected_edges = std::count_if(
        edges.begin(), edges.end(), [](const Edge& edge) { return edge.mutual_tls >= edge.count; });
    fmt::print("\nmutual TLS on {} of {} edges\n{}", protected_edges, edges.size(),
               EdgeTable(edges));
  }
  for (const Json& problem : host::ArrayAt(status, "problems"))
    fmt::print("\nproblem: {}: {}\n  {}\n", host::StringAt(problem, "object"),
               host::StringAt(problem, "what"), host::StringAt(problem, "remedy"));
  for (const Problem& problem : ReadProblems(mesh))
    fmt::print("\nproblem: {}: {}\n", problem.object, problem.message);
  return kExitOk;
}

int RunStatus(const Globals& globals, const Flags& flags) {
  if (flags.output != "table" && flags.output != "json")
    return Fail(fmt::format("there is no output {}", flags.output), "choose -o table or -o json");
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  if (flags.output == "table") return PrintText(*mesh);
  Json status = mesh->status();
  status["apiVersion"] = "meltemi.io/v1";
  status["kind"] = "MeshStatus";
  if (const std::string url = GatewayUrl(status); !url.empty()) status["gateway"]["url"] = url;
  for (const Problem& problem : ReadProblems(*mesh))
    status["problems"].push_back({{"object", problem.object}, {"what", problem.message}});
  status["edges"] = EdgesJson(ReadEdges(*mesh));
  fmt::print("{}\n", status.dump(2, ' ', false, Json::error_handler_t::replace));
  return kExitOk;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("-o,--output", flags->output, "table or json")->capture_default_str();
  return [flags](const Globals& globals) { return RunStatus(globals, *flags); };
}

}  // namespace

extern const Command kStatus = {"status", "show what runs and who talks to whom", Declare};

}  // namespace meltemi::cli
