// SPDX-License-Identifier: Apache-2.0
#include "cli/edges.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/output/table.h"
#include "host/controllers/json.h"
#include "lib/http/service.h"

namespace meltemi::cli {
namespace {

constexpr Duration kScrapeMax = std::chrono::milliseconds(1500);
constexpr std::string_view kRequests = "istio_requests_total{";
constexpr std::string_view kConnections = "istio_tcp_connections_opened_total{";

// `a="x",b="y"} 3` as labels and value; escapes of quotes and backslashes are undone.
std::map<std::string, std::string> ReadLabels(std::string_view text, double* value) {
  std::map<std::string, std::string> labels;
  size_t at = 0;
  while (at < text.size() && text[at] != '}') {
    const size_t equals = text.find("=\"", at);
    if (equals == std::string_view::npos) return {};
    std::string& label = labels[std::string(text.substr(at, equals - at))];
    at = equals + 2;
    for (; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\' && at + 1 < text.size()) ++at;
      label.push_back(text[at]);
    }
    ++at;
    if (at < text.size() && text[at] == ',') ++at;
  }
  if (at >= text.size()) return {};
  *value = std::strtod(std::string(text.substr(at + 1)).c_str(), nullptr);
  return labels;
}

Edge& EdgeOf(const std::string& from, const std::string& to, const std::string& protocol,
             std::vector<Edge>* edges) {
  for (Edge& edge : *edges)
    if (edge.from == from && edge.to == to && edge.protocol == protocol) return edge;
  return edges->emplace_back(Edge{.from = from, .to = to, .protocol = protocol});
}

void AddSample(std::string_view sample, bool is_tcp, std::vector<Edge>* edges) {
  double value = 0;
  auto labels = ReadLabels(sample, &value);
  if (labels["reporter"] != "destination" || value <= 0) return;
  std::string protocol = is_tcp ? "tcp" : labels["request_protocol"];
  Edge& edge = EdgeOf(labels["source_workload"], labels["destination_workload"], protocol, edges);
  edge.count += value;
  if (labels["connection_security_policy"] == "mutual_tls") edge.mutual_tls += value;
  const std::string& code = labels["response_code"];
  if (!is_tcp && (code.starts_with("5") || code == "0")) edge.failed += value;
}

}  // namespace

void AddEdges(std::string_view prometheus, std::vector<Edge>* edges) {
  while (!prometheus.empty()) {
    const size_t end = std::min(prometheus.find('\n'), prometheus.size());
    const std::string_view line = prometheus.substr(0, end);
    prometheus.remove_prefix(std::min(end + 1, prometheus.size()));
    for (const std::string_view family : {kRequests, kConnections})
      if (line.starts_with(family))
        AddSample(line.substr(family.size()), family == kConnections, edges);
  }
}

std::vector<Edge> ReadEdges(const RunningMesh& mesh) {
  std::vector<Edge> edges;
  const auto loop = runtime::Loop::Create();
  if (!loop.ok()) return edges;
  std::vector<std::unique_ptr<http::ClientCall>> calls;
  size_t waiting = 0;
  for (const Json& workload : host::ArrayAt(mesh.status(), "workloads")) {
    const auto admin = AdminOf(workload);
    if (!admin.ok() || host::NumberAt(workload, "proxyPid") <= 0) continue;
    http::ClientRequest request;
    request.path = "/stats/prometheus";
    http::ClientOptions options;
    options.timeout = kScrapeMax;
    ++waiting;
    calls.push_back(http::Fetch(
        **loop, *admin, std::move(request),
        [&](const StatusOr<http::ClientResponse>& response) {
          --waiting;
          if (response.ok() && response->status == 200) AddEdges(response->body, &edges);
        },
        options));
  }
  while (waiting > 0) (*loop)->RunOnce(kScrapeMax);
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return std::tie(a.from, a.to, a.protocol) < std::tie(b.from, b.to, b.protocol);
  });
  return edges;
}

std::string EdgeTable(const std::vector<Edge>& edges) {
  Table table({"FROM", "TO", "PROTOCOL", "COUNT", "MUTUAL TLS", "FAILED"});
  for (const Edge& edge : edges)
    table.Add({edge.from, edge.to, edge.protocol, fmt::format("{:.0f}", edge.count),
               fmt::format("{:.0f} %", edge.count > 0 ? 100 * edge.mutual_tls / edge.count : 0),
               fmt::format("{:.0f}", edge.failed)});
  return table.Text();
}

Json EdgesJson(const std::vector<Edge>& edges) {
  Json list = Json::array();
  for (const Edge& edge : edges)
    list.push_back({{"from", edge.from},
                    {"to", edge.to},
                    {"protocol", edge.protocol},
                    {"count", edge.count},
                    {"mutualTls", edge.mutual_tls},
                    {"failed", edge.failed}});
  return list;
}

}  // namespace meltemi::cli
