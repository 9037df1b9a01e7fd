// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/monitoring.h"

#include "lib/config/duration.h"

namespace meltemi::cmd {
namespace {

constexpr Duration kLiveWait = std::chrono::seconds(10);

bool IsThisMachine(const net::Address& remote) {
  if (!remote.is_ip()) return true;
  const std::string ip = remote.ip();
  return ip.starts_with("127.") || ip == "::1" || ip.starts_with("::ffff:127.");
}

http::ServiceResponse NotFound(const std::string& path) {
  return {.status = 404,
          .body = "there is no " + path +
                  "\nthere are: /ready /metrics /version /debug/config_version /debug/syncz "
                  "/debug/live /debug/configz\n"};
}

}  // namespace

StatusOr<std::unique_ptr<Monitoring>> Monitoring::Listen(runtime::Loop& loop,
                                                         const net::Address& address,
                                                         Sources sources, LiveWaits& waits,
                                                         std::function<bool()> is_ready) {
  std::unique_ptr<Monitoring> made(
      new Monitoring(loop, std::move(sources), waits, std::move(is_ready)));
  MELTEMI_ASSIGN_OR_RETURN(
      made->service_,
      http::Service::Listen(loop, address, [self = made.get()](auto request, auto responder) {
        self->Handle(request, std::move(responder));
      }));
  return made;
}

void Monitoring::Handle(const http::ServiceRequest& request,
                        std::shared_ptr<http::Responder> responder) {
  if (request.method != "GET" && request.method != "HEAD") {
    return responder->Send({.status = 405, .body = "only GET is answered here\n"});
  }
  if (request.path == "/ready") {
    if (is_ready_()) return responder->Send({.body = "ready\n"});
    return responder->Send({.status = 503, .body = "not ready\n"});
  }
  if (request.path == "/metrics") {
    return responder->Send({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = MetricsText(sources_, loop_.Now())});
  }
  if (request.path == "/version") {
    return responder->Send(JsonPage({{"version", MELTEMI_VERSION}, {"mesh", sources_.mesh}}));
  }
  if (request.path.starts_with("/debug/")) return HandleDebug(request, std::move(responder));
  responder->Send(NotFound(request.path));
}

void Monitoring::HandleDebug(const http::ServiceRequest& request,
                             std::shared_ptr<http::Responder> responder) {
  if (!IsThisMachine(request.remote)) {
    return responder->Send(
        {.status = 403, .body = "/debug is for this machine alone; ask over 127.0.0.1\n"});
  }
  if (request.path == "/debug/live") return WaitForLive(request, std::move(responder));
  if (request.path == "/debug/config_version") {
    return responder->Send(JsonPage(ConfigVersion(sources_)));
  }
  if (request.path == "/debug/syncz") return responder->Send(JsonPage(Syncz(sources_)));
  if (request.path == "/debug/configz") return responder->Send(JsonPage(Configz(sources_)));
  responder->Send(NotFound(request.path));
}

void Monitoring::WaitForLive(const http::ServiceRequest& request,
                             std::shared_ptr<http::Responder> responder) {
  const std::string text = request.Query("timeout");
  const auto timeout = text.empty() ? kLiveWait : config::ParseDuration(text);
  if (!timeout.has_value() || *timeout < Duration::zero()) {
    return responder->Send(
        {.status = 400, .body = "timeout: no duration; write it as 10s or 500ms\n"});
  }
  waits_.Add(*timeout, std::move(responder));
}

}  // namespace meltemi::cmd
