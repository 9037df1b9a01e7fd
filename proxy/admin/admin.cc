// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/admin.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace meltemi::proxy {
namespace {

constexpr char kJson[] = "application/json";
constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";

http::ServiceResponse Text(std::string body) {
  http::ServiceResponse response;
  response.body = std::move(body);
  return response;
}

http::ServiceResponse Json(std::string body) {
  http::ServiceResponse response = Text(std::move(body));
  response.content_type = kJson;
  return response;
}

http::ServiceResponse TextOrJson(const http::ServiceRequest& request,
                                 const std::function<std::string()>& text,
                                 const std::function<std::string()>& json) {
  return request.Query("format") == "json" ? Json(json()) : Text(text());
}

using Handler = http::ServiceResponse (*)(const AdminSources&, const http::ServiceRequest&);

struct Page {
  std::string_view path;
  bool changes_state;  // POST only, as Envoy has it
  std::string_view summary;
  Handler handler;
};

http::ServiceResponse ConfigDump(const AdminSources& sources, const http::ServiceRequest& request) {
  return Json(sources.config_dump(request.Query("resource"), request.Query("name_regex")));
}

http::ServiceResponse Stats(const AdminSources& sources, const http::ServiceRequest& request) {
  if (request.Query("format") != "prometheus") return Text(sources.stats_text());
  http::ServiceResponse response = Text(sources.stats_prometheus());
  response.content_type = kPrometheus;
  return response;
}

http::ServiceResponse StatsPrometheus(const AdminSources& sources, const http::ServiceRequest&) {
  http::ServiceResponse response = Text(sources.stats_prometheus());
  response.content_type = kPrometheus;
  return response;
}

http::ServiceResponse Ready(const AdminSources& sources, const http::ServiceRequest&) {
  http::ServiceResponse response = Text(sources.state() + "\n");
  response.status = sources.is_ready() ? 200 : 503;
  return response;
}

http::ServiceResponse Quit(const AdminSources& sources, const http::ServiceRequest&) {
  sources.quit();
  return Text("OK\n");
}

http::ServiceResponse DrainListeners(const AdminSources& sources, const http::ServiceRequest&) {
  sources.drain_listeners();
  return Text("OK\n");
}

http::ServiceResponse FailHealthCheck(const AdminSources& sources, const http::ServiceRequest&) {
  sources.fail_health_check(true);
  return Text("OK\n");
}

http::ServiceResponse PassHealthCheck(const AdminSources& sources, const http::ServiceRequest&) {
  sources.fail_health_check(false);
  return Text("OK\n");
}

// Alphabetical by path.
constexpr Page kPages[] = {
    {"/certs", false, "certificates in use",
     [](const AdminSources& s, const http::ServiceRequest&) { return Json(s.certs_json()); }},
    {"/clusters", false, "clusters and their endpoints",
     [](const AdminSources& s, const http::ServiceRequest& r) {
       return TextOrJson(r, s.clusters_text, s.clusters_json);
     }},
    {"/config_dump", false, "accepted configuration", ConfigDump},
    {"/drain_listeners", true, "stop accepting connections", DrainListeners},
    {"/healthcheck/fail", true, "answer health checks with failure", FailHealthCheck},
    {"/healthcheck/ok", true, "answer health checks with success again", PassHealthCheck},
    {"/listeners", false, "listeners and their addresses",
     [](const AdminSources& s, const http::ServiceRequest& r) {
       return TextOrJson(r, s.listeners_text, s.listeners_json);
     }},
    {"/quitquitquit", true, "end the process", Quit},
    {"/ready", false, "200 once the proxy serves, else 503", Ready},
    {"/server_info", false, "version, state, command line",
     [](const AdminSources& s, const http::ServiceRequest&) { return Json(s.server_info()); }},
    {"/stats", false, "counters, gauges, histograms (?format=prometheus)", Stats},
    {"/stats/prometheus", false, "the same for Prometheus", StatsPrometheus},
};

http::ServiceResponse Index() {
  std::string body;
  for (const Page& page : kPages) {
    body +=
        fmt::format("{:<20} {}{}\n", page.path, page.summary, page.changes_state ? " (POST)" : "");
  }
  return Text(std::move(body));
}

http::ServiceResponse Answer(const AdminSources& sources, const http::ServiceRequest& request) {
  if (request.path == "/" || request.path == "/help") return Index();
  for (const Page& page : kPages) {
    if (page.path != request.path) continue;
    if (page.changes_state && request.method != "POST") {
      http::ServiceResponse response = Text(fmt::format("{} takes POST\n", page.path));
      response.status = 405;
      response.headers.emplace_back("allow", "POST");
      return response;
    }
    return page.handler(sources, request);
  }
  http::ServiceResponse response =
      Text(fmt::format("no page {}; / lists them\n", request.path.substr(0, 200)));
  response.status = 404;
  return response;
}

class ListeningAdmin final : public Admin {
 public:
  explicit ListeningAdmin(std::unique_ptr<http::Service> service) : service_(std::move(service)) {}
  const net::Address& address() const override { return service_->address(); }

 private:
  std::unique_ptr<http::Service> service_;
};

}  // namespace

StatusOr<std::unique_ptr<Admin>> Admin::Listen(runtime::Loop& loop, const net::Address& address,
                                               AdminSources sources) {
  auto shared = std::make_shared<const AdminSources>(std::move(sources));
  auto service = http::Service::Listen(
      loop, address,
      [shared](const http::ServiceRequest& request, std::shared_ptr<http::Responder> responder) {
        responder->Send(Answer(*shared, request));
      });
  if (!service.ok()) return WithContext(service.status(), "admin");
  return std::unique_ptr<Admin>(std::make_unique<ListeningAdmin>(*std::move(service)));
}

}  // namespace meltemi::proxy
