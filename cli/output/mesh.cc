// SPDX-License-Identifier: Apache-2.0
#include "cli/output/mesh.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/output/table.h"
#include "host/controllers/json.h"

namespace meltemi::cli {

using host::ArrayAt;
using host::BoolAt;
using host::NumberAt;
using host::StringAt;
using nlohmann::json;

std::string AgeOf(const std::string& rfc3339, WallTime now) {
  std::tm time{};
  if (::strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) == nullptr) return "-";
  const auto since = now - std::chrono::system_clock::from_time_t(::timegm(&time));
  const double seconds = std::chrono::duration<double>(since).count();
  // The time is written in whole seconds: less means nothing.
  return seconds < 10 ? fmt::format("{:.0f}s", seconds < 0 ? 0 : seconds) : HumanDuration(seconds);
}

std::string GatewayUrl(const json& status) {
  const int64_t port = NumberAt(status, "gateway/port");
  return port == 0 ? "" : fmt::format("http://127.0.0.1:{}", port);
}

std::string MeshSummary(const json& status, WallTime now) {
  const std::string message = StringAt(status, "controlPlane/message");
  std::string text = fmt::format(
      "mesh           {}, up {}{}\ncontrol plane  {}{}\n", StringAt(status, "mesh"),
      AgeOf(StringAt(status, "started"), now), BoolAt(status, "stopping") ? ", stopping" : "",
      BoolAt(status, "controlPlane/ready") ? "ready" : message.substr(0, message.find('\n')),
      NumberAt(status, "controlPlane/restarts") == 0
          ? ""
          : fmt::format(", restarted {} times", NumberAt(status, "controlPlane/restarts")));
  if (const std::string url = GatewayUrl(status); !url.empty())
    text += fmt::format("gateway        {}\n", url);
  return text;
}

std::string WorkloadTable(const json& status, WallTime now) {
  Table table({"NAMESPACE", "WORKLOAD", "PHASE", "READY", "RESTARTS", "ADDRESS", "AGE"});
  std::string reasons;
  for (const bool are_gateways : {false, true}) {
    for (const json& workload : ArrayAt(status, "workloads")) {
      if (BoolAt(workload, "gateway") != are_gateways) continue;
      const bool is_ready = BoolAt(workload, "ready");
      const std::string name = StringAt(workload, "name");
      table.Add({StringAt(workload, "namespace"), name, StringAt(workload, "phase"),
                 is_ready ? "yes" : "no", fmt::format("{}", NumberAt(workload, "restarts")),
                 StringAt(workload, "address"), AgeOf(StringAt(workload, "started"), now)});
      const std::string message = StringAt(workload, "message");
      if (!is_ready && !message.empty())
        reasons += fmt::format("{}: {}\n", name, message.substr(0, message.find('\n')));
    }
  }
  return table.empty() ? "no workloads\n" : table.Text() + reasons;
}

}  // namespace meltemi::cli
