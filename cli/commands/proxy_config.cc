// SPDX-License-Identifier: Apache-2.0
// meltemi proxy-config TYPE WORKLOAD: what a proxy holds, from its admin port.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/fetch.h"
#include "cli/nearest.h"
#include "cli/output/proxy_config.h"
#include "cli/running_mesh.h"
#include "host/controllers/json.h"

namespace meltemi::cli {
namespace {

struct Part {
  const char* name;
  const char* short_name;
  const char* dump;  // of /config_dump; "" = /clusters
  std::string (*table)(const Json&);
};

// istioctl's words.
constexpr std::array<Part, 5> kParts = {{{"listener", "l", "ListenersConfigDump", ListenerTable},
                                         {"route", "r", "RoutesConfigDump", RouteTable},
                                         {"cluster", "c", "ClustersConfigDump", ClusterTable},
                                         {"endpoint", "ep", "", EndpointTable},
                                         {"secret", "s", "SecretsConfigDump", [](const Json& dump) {
                                            return SecretTable(dump, RealClock().Wall());
                                          }}}};

struct Flags {
  std::string part, workload, output = "table";
};

StatusOr<const Part*> FindPart(const std::string& word) {
  std::vector<std::string> names;
  for (const Part& part : kParts) {
    if (word == part.name || word == std::string(part.name) + "s" || word == part.short_name)
      return &part;
    names.emplace_back(part.name);
  }
  const std::string nearest = Nearest(word, names);
  return absl::InvalidArgumentError(
      fmt::format("proxy-config has no {}\n{}", word,
                  nearest.empty() ? "it has listener, route, cluster, endpoint, secret"
                                  : fmt::format("did you mean {}?", nearest)));
}

StatusOr<Json> Held(const Json& workload, const Part& part) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address admin, AdminOf(workload));
  const bool is_dump = part.dump[0] != '\0';
  auto text = Get(admin, is_dump ? "/config_dump" : "/clusters?format=json");
  if (!text.ok())
    return absl::UnavailableError(
        fmt::format("the proxy of {} does not answer: {}\n`meltemi logs {} --proxy` may say why",
                    host::StringAt(workload, "name"), Message(text.status()),
                    host::StringAt(workload, "name")));
  Json held = Json::parse(*text, nullptr, false);
  if (held.is_discarded()) return absl::InternalError("the proxy's answer is not JSON");
  return held;
}

int RunProxyConfig(const Globals& globals, const Flags& flags) {
  const auto part = FindPart(flags.part);
  if (!part.ok()) return Fail(part.status());
  if (flags.output != "table" && flags.output != "json")
    return Fail(fmt::format("there is no output {}", flags.output), "choose -o table or -o json");
  const auto mesh = RunningMesh::Find(globals);
  if (!mesh.ok()) return Fail(mesh.status());
  const auto workload = mesh->FindWorkload(flags.workload, globals.ns);
  if (!workload.ok()) return Fail(workload.status());
  const auto held = Held(*workload, **part);
  if (!held.ok()) return Fail(held.status());
  if (flags.output == "table") {
    fmt::print("{}", (*part)->table(*held));
    return kExitOk;
  }
  const Json* shown = (*part)->dump[0] == '\0' ? &*held : FindDump(*held, (*part)->dump);
  fmt::print("{}\n",
             shown == nullptr ? "{}" : shown->dump(2, ' ', false, Json::error_handler_t::replace));
  return kExitOk;
}

Run Declare(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("type", flags->part, "listener, route, cluster, endpoint or secret")->required();
  app.add_option("workload", flags->workload, "a workload's name, or its app")->required();
  app.add_option("-o,--output", flags->output, "table or json")->capture_default_str();
  return [flags](const Globals& globals) { return RunProxyConfig(globals, *flags); };
}

}  // namespace

extern const Command kProxyConfig = {"proxy-config", "show what a workload's proxy holds", Declare};

}  // namespace meltemi::cli
