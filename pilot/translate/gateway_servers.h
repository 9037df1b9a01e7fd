// SPDX-License-Identifier: Apache-2.0
// The servers of all Gateways that one router serves, merged by the socket they bind (Istio's
// rules: §2.13, and istio-api.md §3.2). Pure but for what is read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pilot/translate/reader.h"

namespace meltemi::pilot {

// How a server takes connections; one port has one kind, the oldest server's.
enum class ServerKind : uint8_t { kHttp, kTls, kTcp };

struct MergedServer {
  const GatewayServer* from = nullptr;
  std::string gateway;         // "NS/NAME", as VirtualServices say it
  std::string route_name;      // "" when it does not speak HTTP
  bool is_terminated = false;  // TLS ends here
  bool is_auto_passthrough = false;
  std::vector<std::string> hosts;  // without namespaces

  const istio::networking::v1::Server& server() const { return from->server; }
  uint32_t port() const { return from->server.port().number(); }
  // Its hosts that VirtualServices of a namespace may have.
  std::vector<std::string> HostsFor(const std::string& ns) const;
};

// One listener.
struct MergedPort {
  std::string bind = "0.0.0.0";
  uint32_t port = 0;
  ServerKind kind = ServerKind::kTcp;
  std::vector<MergedServer> servers;  // oldest Gateway first

  std::string listener_name() const;
};

class MergedServers final {
 public:
  MergedServers(Reader& reader, const ProxyFacts& router);
  // Sorted by listener name.
  const std::vector<MergedPort>& ports() const { return ports_; }

 private:
  void Add(const GatewayServer& server);
  MergedPort& PortOf(const GatewayServer& server, ServerKind kind);

  std::shared_ptr<const GatewayServers> servers_;
  // Two chains may not ask for the same server name, unless both pass connections on and
  // VirtualServices tell which: the older server keeps it.
  bool Claim(const MergedServer& server, const MergedPort& port);

  std::vector<MergedPort> ports_;
  // Listener → host → does a server end TLS for it.
  std::map<std::string, std::map<std::string, bool>> claims_;
};

// The hosts both sides allow: of each pair the narrower one. In order, without repetitions.
std::vector<std::string> Intersection(const std::vector<std::string>& server_hosts,
                                      const std::vector<std::string>& hosts);

}  // namespace meltemi::pilot
