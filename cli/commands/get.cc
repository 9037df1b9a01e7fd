// SPDX-License-Identifier: Apache-2.0
// meltemi get KIND [NAME] [-n NAMESPACE | -A] [-o table|wide|json|yaml|name]
#include <fmt/format.h>

#include <memory>

#include "cli/actions.h"
#include "cli/command.h"
#include "cli/output/objects.h"
#include "cli/running_mesh.h"
#include "host/controllers/json.h"
#include "lib/config/parse.h"

namespace meltemi::cli {
namespace {

struct Flags {
  std::string kind, name;
  std::string output = "table";
  bool is_everywhere = false;
};

StatusOr<std::vector<Json>> Fetch(RunningMesh& mesh, const config::Kind& kind,
                                  const std::string& ns, const std::string& name) {
  const auto answer = mesh.Call([&](kube::Client& api, kube::Client::Answer done) {
    return name.empty() ? api.List(kind, ns, std::move(done))
                        : api.Get(kind, ns, name, std::move(done));
  });
  if (absl::IsNotFound(answer.status()))
    return absl::NotFoundError(
        fmt::format("there is no {}{}\n`meltemi get {}{}` shows what there is",
                    NameOfObject(kind, name), kind.is_namespaced ? " in namespace " + ns : "",
                    kind.plural, kind.is_namespaced ? " -A" : ""));
  if (!answer.ok()) return answer.status();
  if (!name.empty()) return std::vector<Json>{*answer};
  std::vector<Json> objects;
  for (Json item : host::ArrayAt(*answer, "items")) {
    item["apiVersion"] = kind.api_version();
    item["kind"] = std::string(kind.kind);
    objects.push_back(std::move(item));
  }
  return objects;
}

void Print(const config::Kind& kind, const std::vector<Json>& objects, const Flags& flags,
           const std::string& ns) {
  const auto text = [](const Json& value) {
    return value.dump(2, ' ', false, Json::error_handler_t::replace);
  };
  // One that was named stands by itself, several in a List, as kubectl has it.
  const Json shown = !flags.name.empty() && objects.size() == 1
                         ? objects[0]
                         : Json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}};
  if (flags.output == "json") {
    fmt::print("{}\n", text(shown));
  } else if (flags.output == "yaml") {
    fmt::print("{}", config::ToYaml(shown));
  } else if (flags.output == "name") {
    for (const Json& object : objects)
      fmt::print("{}\n", NameOfObject(kind, host::StringAt(object, "metadata/name")));
  } else if (objects.empty()) {
    fmt::print("no {} {}\n", kind.plural,
               ns.empty() ? "anywhere" : fmt::format("in namespace {}", ns));
  } else {
    ObjectTableOptions options;
    options.has_namespaces = flags.is_everywhere && kind.is_namespaced;
    options.is_wide = flags.output == "wide";
    options.now = RealClock().Wall();
    fmt::print("{}", ObjectTable(kind, objects, options));
  }
}

int RunGet(const Globals& globals, const Flags& flags) {
  const auto kind = KindByWord(flags.kind);
  if (!kind.ok()) return Fail(kind.status());
  bool is_known = false;
  for (const char* output : {"table", "wide", "json", "yaml", "name"})
    is_known |= flags.output == output;
  if (!is_known)
    return Fail(fmt::format("there is no output {}", flags.output),
                "choose -o table, wide, json, yaml or name");
  if (flags.is_everywhere && !flags.name.empty())
    return Fail("a name belongs to one namespace", "leave -A out, or the name");
  auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  const std::string ns = flags.is_everywhere || !(*kind)->is_namespaced ? "" : globals.ns;
  const auto objects = Fetch(*mesh, **kind, ns, flags.name);
  if (!objects.ok()) return Fail(objects.status());
  Print(**kind, *objects, flags, ns);
  return kExitOk;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("kind", flags->kind, "services, vs, destinationrule, pods, …")->required();
  app.add_option("name", flags->name, "one of them");
  app.add_option("-o,--output", flags->output, "table, wide, json, yaml or name")
      ->capture_default_str();
  app.add_flag("-A,--all-namespaces", flags->is_everywhere, "of every namespace");
  return [flags](const Globals& globals) { return RunGet(globals, *flags); };
}

}  // namespace

extern const Command kGet = {"get", "show objects of a kind", Declare};

}  // namespace meltemi::cli
