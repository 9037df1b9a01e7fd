// SPDX-License-Identifier: Apache-2.0
// Route, filters, and the heads as they are sent on.
#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "lib/routing/actions.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http_date.h"
#include "proxy/http/stream_values.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

using http::HeaderId;

void Exchange::FindRoute() {
  if (info_.pin->routes == nullptr) return;
  const routing::RouteTable& table = info_.pin->routes->table();
  info_.route = table.Find(*info_.request, info_.random);
  if (info_.route.route == nullptr) return;
  const routing::ForwardAction* action = info_.route.route->forward();
  if (action == nullptr) return;
  const routing::ChosenCluster chosen =
      routing::ChooseCluster(*action, *info_.request, info_.random);
  info_.weighted = chosen.weighted;
  info_.cluster_name = chosen.name;
  info_.cluster =
      chosen.target != nullptr ? chosen.target->id : worker_.upstreams().Find(chosen.name);
  if (info_.cluster != kNoId) info_.cluster_info = worker_.upstreams().Info(info_.cluster);
}

void Exchange::RunFilters(size_t from) {
  const auto& filters = options_->request_filters;
  for (size_t i = from; i < filters.size(); ++i) {
    stage_ = Stage::kFilters;
    switch (filters[i]->OnRequest(*this)) {
      case HttpFilter::Verdict::kContinue:
        continue;
      case HttpFilter::Verdict::kPaused:
        paused_filter_ = i;
        return;
      case HttpFilter::Verdict::kAnswered:
        return;
    }
  }
  FollowRoute();
}

void Exchange::PauseFor(Duration delay) {
  pause_timer_.Arm(delay);
}

void Exchange::OnPauseOver() {
  if (stage_ == Stage::kBackingOff) return StartAttempt();
  if (stage_ != Stage::kFilters) return;
  switch (options_->request_filters[paused_filter_]->OnResumed(*this)) {
    case HttpFilter::Verdict::kContinue:
      return RunFilters(paused_filter_ + 1);
    case HttpFilter::Verdict::kPaused:
    case HttpFilter::Verdict::kAnswered:
      return;
  }
}

void Exchange::SendRedirect(int status, std::string_view location, std::string_view details) {
  local_head_.headers.AddBorrowed(HeaderId::kLocation, http::HeaderName(HeaderId::kLocation),
                                  location);
  Reply({status, "", details, -1});
}

void Exchange::FollowRoute() {
  stage_ = Stage::kRouting;
  stats_->Count(HttpStat::kRouted);
  const routing::Found& found = info_.route;
  if (found.route == nullptr) {
    info_.flags.Set(ResponseFlag::kNoRouteFound);
    stats_->Count(HttpStat::kNoRoute);
    return Reply({404, "", "route_not_found", -1});
  }
  http::RequestHead& head = *info_.request;
  using Tls = routing::VirtualHost::TlsRequirement;
  const Tls tls = found.host->tls_requirement;
  if (head.scheme != "https" &&
      (tls == Tls::kAll || (tls == Tls::kExternalOnly && !is_internal_))) {
    stats_->Count(HttpStat::kDirectResponses);
    return SendRedirect(301, routing::HttpsLocation(head, head.headers.arena()), "direct_response");
  }
  const routing::Route& route = *found.route;
  if (const auto* redirect = std::get_if<routing::RedirectAction>(&route.action)) {
    stats_->Count(HttpStat::kDirectResponses);
    return SendRedirect(redirect->status,
                        routing::Location(*redirect, route.path, head, head.headers.arena()),
                        "direct_response");
  }
  if (const auto* direct = std::get_if<routing::DirectResponse>(&route.action)) {
    stats_->Count(HttpStat::kDirectResponses);
    return Reply({direct->status, direct->body, "direct_response", -1});
  }
  if (is_tunnel_ && !IsUpgradeAllowed()) {
    stats_->Count(HttpStat::kRequestsUpgradeRefused);
    return Reply({403, "", "upgrade_failed", -1});
  }
  const routing::ForwardAction& action = *route.forward();
  if (info_.cluster_info == nullptr) {
    info_.flags.Set(ResponseFlag::kNoClusterFound);
    stats_->Count(HttpStat::kNoCluster);
    return Reply({action.cluster_not_found_status, "", "cluster_not_found", -1});
  }
  if (!options_->strict_headers.empty() && !PassesStrictCheck()) return;
  StartForwarding(action);
}

bool Exchange::IsUpgradeAllowed() const {
  const http::RequestHead& head = *info_.request;
  // A CONNECT that is tunnelled is not an upgrade of HTTP and has its own entry.
  const std::string_view token = head.upgrade.empty() ? std::string_view("connect") : head.upgrade;
  const auto decide = [&](const std::vector<std::pair<std::string, bool>>& upgrades) {
    for (const auto& [name, is_enabled] : upgrades) {
      if (routing::EqualsIgnoringCase(name, token)) return is_enabled ? 1 : 0;
    }
    return -1;
  };
  const int by_route = decide(info_.route.route->forward()->upgrades);
  return by_route >= 0 ? by_route == 1 : decide(options_->upgrades) == 1;
}

void Exchange::ApplyMutations(std::initializer_list<const routing::HeaderMutations*> levels,
                              http::ResponseHead* response) {
  const StreamValues values(info_);
  const routing::MessageView view{info_.request, response, &values};
  const bool is_reversed =
      levels.size() > 1 && info_.pin->routes->table().options().most_specific_mutations_win;
  for (size_t i = 0; i < levels.size(); ++i) {
    const size_t level = is_reversed ? levels.size() - 1 - i : i;
    const routing::HeaderMutations* mutations = levels.begin()[level];
    if (mutations == nullptr || mutations->empty()) continue;
    if (response != nullptr) {
      mutations->Apply(*response, view);
    } else {
      mutations->Apply(*info_.request, view);
    }
  }
}

void Exchange::RewriteHost(const routing::ForwardAction& action) {
  http::RequestHead& head = *info_.request;
  const std::string_view before = head.authority;
  Arena& arena = head.headers.arena();
  if (info_.weighted != nullptr && !info_.weighted->host_rewrite.empty()) {
    head.authority = info_.weighted->host_rewrite;
  } else if (!action.host_rewrite.empty()) {
    head.authority = action.host_rewrite;
  } else if (action.host_rewrite_header.has_value()) {
    const auto value = routing::ValueOf(head, *action.host_rewrite_header);
    if (value.has_value() && !value->empty()) head.authority = *value;
  } else if (action.host_rewrite_path.has_value()) {
    std::string host(head.path.substr(0, head.path.find('?')));
    re2::RE2::Replace(&host, *action.host_rewrite_path->regex,
                      action.host_rewrite_path->substitution);
    head.authority = arena.Copy(host);
  }
  if (head.authority != before && action.appends_forwarded_host) {
    head.headers.Add(HeaderId::kXForwardedHost, before);
  }
}

void Exchange::FinishRequestHead(const routing::ForwardAction& action) {
  http::RequestHead& head = *info_.request;
  const routing::Found& found = info_.route;
  ApplyMutations(
      {info_.weighted == nullptr ? nullptr : &info_.weighted->request, &found.route->request,
       &found.host->request, &info_.pin->routes->table().options().request},
      nullptr);
  RewriteHost(action);
  const std::string_view path =
      routing::RewritePath(action, found.route->path, head.path, head.headers.arena());
  if (path.data() != head.path.data()) {
    info_.original_path = head.path;
    if (!options_->suppresses_envoy_headers) {
      head.headers.Set(HeaderId::kXEnvoyOriginalPath, head.path);
    }
    head.path = path;
  }
}

void Exchange::FinishResponseHead(http::ResponseHead& head, bool is_forwarded) {
  http::HeaderMap& headers = head.headers;
  const routing::Found& found = info_.route;
  const bool is_direct =
      !is_forwarded && found.route != nullptr && info_.details == "direct_response";
  if (found.route != nullptr && (is_forwarded || is_direct)) {
    ApplyMutations(
        {info_.weighted == nullptr ? nullptr : &info_.weighted->response, &found.route->response,
         &found.host->response, &info_.pin->routes->table().options().response},
        &head);
  }
  if (found.host != nullptr && found.host->adds_attempt_count_to_response && info_.attempts > 0) {
    const fmt::format_int count(info_.attempts);
    headers.Set(HeaderId::kXEnvoyAttemptCount, {count.data(), count.size()});
  }
  if (hash_.new_cookie != nullptr) {
    headers.Add(HeaderId::kSetCookie,
                routing::SetCookie(*hash_.new_cookie, hash_.new_cookie_value, headers.arena()));
  }
  using Server = HttpOptions::ServerHeader;
  const bool has_server = headers.Find(HeaderId::kServer) != nullptr;
  if (options_->server_header == Server::kOverwrite) {
    if (has_server) headers.Remove(HeaderId::kServer);
    headers.AddBorrowed(HeaderId::kServer, http::HeaderName(HeaderId::kServer),
                        options_->server_name);
  } else if (options_->server_header == Server::kAppendIfAbsent && !has_server) {
    headers.AddBorrowed(HeaderId::kServer, http::HeaderName(HeaderId::kServer),
                        options_->server_name);
  }
  if (headers.Find(HeaderId::kDate) == nullptr) {
    headers.Add(HeaderId::kDate, owner_->date().At(info_.start_wall));
  }
  if (!options_->via.empty()) headers.Add(HeaderId::kVia, options_->via);
  if (options_->sets_request_id_in_response || is_trace_forced_) {
    const std::string_view id = info_.request->headers.Get(HeaderId::kXRequestId);
    if (!id.empty()) headers.Set(HeaderId::kXRequestId, id);
  }
}

}  // namespace meltemi::proxy
