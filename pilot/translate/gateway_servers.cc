// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/gateway_servers.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pilot/translate/host_domains.h"

namespace meltemi::pilot {
namespace {

namespace v1 = istio::networking::v1;
using TlsSettings = v1::ServerTLSSettings;

constexpr std::string_view kWildcardBind = "0.0.0.0";

bool IsPassthrough(const v1::Server& server) {
  return server.tls().mode() == TlsSettings::PASSTHROUGH ||
         server.tls().mode() == TlsSettings::AUTO_PASSTHROUGH;
}

ServerKind KindOf(const v1::Server& server, Protocol protocol) {
  if (IsHttp(protocol)) return ServerKind::kHttp;
  if (protocol == Protocol::kHttps || protocol == Protocol::kTls) return ServerKind::kTls;
  // TLS around another protocol, where settings say so.
  return server.has_tls() && !IsPassthrough(server) ? ServerKind::kTls : ServerKind::kTcp;
}

// "NS/HOST" → both; a bare host is for every namespace.
std::pair<std::string_view, std::string_view> Split(std::string_view host) {
  const size_t slash = host.find('/');
  if (slash == std::string_view::npos) return {"*", host};
  return {host.substr(0, slash), host.substr(slash + 1)};
}

}  // namespace

std::vector<std::string> MergedServer::HostsFor(const std::string& ns) const {
  std::vector<std::string> allowed;
  for (const std::string& entry : server().hosts()) {
    const auto [scope, host] = Split(entry);
    const bool is_own = scope == "." && ns == from->gateway.ns;
    if (scope == "*" || scope == ns || is_own) allowed.emplace_back(host);
  }
  return allowed;
}

std::string MergedPort::listener_name() const {
  return fmt::format("{}_{}", bind, port);
}

MergedServers::MergedServers(Reader& reader, const ProxyFacts& router)
    : servers_(reader.GatewaysOf(router)) {
  for (const GatewayServer& server : *servers_) Add(server);
  std::sort(ports_.begin(), ports_.end(), [](const MergedPort& a, const MergedPort& b) {
    return a.listener_name() < b.listener_name();
  });
}

MergedPort& MergedServers::PortOf(const GatewayServer& server, ServerKind kind) {
  const std::string bind =
      server.server.bind().empty() ? std::string(kWildcardBind) : server.server.bind();
  for (MergedPort& port : ports_) {
    if (port.port == server.bind_port && port.bind == bind) return port;
  }
  ports_.push_back({bind, server.bind_port, kind, {}});
  return ports_.back();
}

bool MergedServers::Claim(const MergedServer& server, const MergedPort& port) {
  auto& claims = claims_[port.listener_name()];
  for (const std::string& host : server.hosts) {
    const auto found = claims.find(host);
    if (found != claims.end() && (found->second || server.is_terminated)) return false;
  }
  for (const std::string& host : server.hosts) claims.emplace(host, server.is_terminated);
  return true;
}

void MergedServers::Add(const GatewayServer& from) {
  const v1::Server& server = from.server;
  const Protocol protocol = ParseProtocol(server.port().protocol());
  const ServerKind kind = KindOf(server, protocol);
  MergedPort& port = PortOf(from, kind);
  // A port speaks one kind of protocol; a younger Gateway that wants another is left out.
  if (port.kind != kind) return;
  MergedServer merged;
  merged.from = &from;
  merged.gateway = fmt::format("{}/{}", from.gateway.ns, from.gateway.name);
  merged.is_terminated = kind == ServerKind::kTls && !IsPassthrough(server);
  merged.is_auto_passthrough = server.tls().mode() == TlsSettings::AUTO_PASSTHROUGH;
  for (const std::string& host : server.hosts()) merged.hosts.emplace_back(Split(host).second);
  const std::string suffix = server.bind().empty() ? "" : "." + server.bind();
  if (kind == ServerKind::kHttp) {
    merged.route_name = fmt::format("http.{}{}", from.bind_port, suffix);
  } else if (merged.is_terminated && protocol == Protocol::kHttps) {
    merged.route_name =
        fmt::format("https.{}.{}.{}.{}{}", server.port().number(), server.port().name(),
                    from.gateway.name, from.gateway.ns, suffix);
  }
  if (kind == ServerKind::kTls && !Claim(merged, port)) return;
  port.servers.push_back(std::move(merged));
}

std::vector<std::string> Intersection(const std::vector<std::string>& server_hosts,
                                      const std::vector<std::string>& hosts) {
  std::vector<std::string> common;
  const auto add = [&](const std::string& host) {
    if (std::find(common.begin(), common.end(), host) == common.end()) common.push_back(host);
  };
  for (const std::string& server_host : server_hosts) {
    for (const std::string& host : hosts) {
      if (IsHostWithin(host, server_host)) {
        add(host);
      } else if (IsHostWithin(server_host, host)) {
        add(server_host);
      }
    }
  }
  return common;
}

}  // namespace meltemi::pilot
