// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/status.h"

#include <fmt/format.h>

#include <utility>

namespace meltemi::proxy {
namespace {

using Request = http::ServiceRequest;
using Response = http::ServiceResponse;
using Sources = StatusServers::Sources;

constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";

Response Readiness(const Sources& sources) {
  Response response;
  const std::string why = sources.why_not_ready();
  response.status = why.empty() ? 200 : 503;
  response.body = why.empty() ? "ready\n" : why + "\n";
  return response;
}

Response Metrics(const Sources& sources) {
  Response response;
  response.content_type = kPrometheus;
  response.body = sources.metrics();
  return response;
}

// The workload may end its proxy, nobody else: it comes from the workload's own address or from
// the loopback address itself (other workloads of this machine have addresses of their own).
Response Quit(const Sources& sources, const Request& request, const std::string& own_ip) {
  Response response;
  const std::string ip = request.remote.ip();
  if (ip != own_ip && ip != "127.0.0.1" && ip != "::1") {
    response.status = 403;
    response.body = "only from the workload itself\n";
  } else if (request.method != "POST") {
    response.status = 405;
    response.headers.emplace_back("allow", "POST");
    response.body = "/quitquitquit takes POST\n";
  } else {
    sources.quit();
    response.body = "OK\n";
  }
  return response;
}

Response NotFound(std::string_view pages) {
  Response response;
  response.status = 404;
  response.body = fmt::format("no such page; there are {}\n", pages);
  return response;
}

Response AnswerStatus(const Sources& sources, const Request& request, const std::string&) {
  if (request.path == "/healthz/ready") return Readiness(sources);
  return NotFound("/healthz/ready");
}

Response AnswerAgent(const Sources& sources, const Request& request, const std::string& own_ip) {
  if (request.path == "/healthz/ready") return Readiness(sources);
  if (request.path == "/stats/prometheus") return Metrics(sources);
  if (request.path == "/quitquitquit") return Quit(sources, request, own_ip);
  return NotFound("/healthz/ready, /stats/prometheus, /quitquitquit");
}

Response AnswerMetrics(const Sources& sources, const Request& request, const std::string&) {
  if (request.path == "/stats/prometheus") return Metrics(sources);
  return NotFound("/stats/prometheus");
}

}  // namespace

StatusOr<std::unique_ptr<StatusServers>> StatusServers::Listen(runtime::Loop& loop,
                                                               const Options& options,
                                                               Sources sources) {
  using Answer = Response (*)(const Sources&, const Request&, const std::string&);
  const std::pair<uint16_t, Answer> ports[] = {{options.status_port, AnswerStatus},
                                               {options.agent_port, AnswerAgent},
                                               {options.metrics_port, AnswerMetrics}};
  auto servers = std::make_unique<StatusServers>();
  auto shared = std::make_shared<const Sources>(std::move(sources));
  for (const auto& [port, pages] : ports) {
    MELTEMI_ASSIGN_OR_RETURN(const net::Address address, net::Address::ParseIp(options.ip, port));
    auto service = http::Service::Listen(
        loop, address,
        [shared, answer = pages, ip = options.ip](const Request& request,
                                                  const std::shared_ptr<http::Responder>& to) {
          to->Send(answer(*shared, request, ip));
        });
    if (!service.ok()) return WithContext(service.status(), "health and metrics");
    servers->services_.push_back(*std::move(service));
  }
  return servers;
}

}  // namespace meltemi::proxy
