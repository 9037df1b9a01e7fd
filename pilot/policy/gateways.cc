// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/gateways.h"

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "pilot/model/selector.h"

namespace meltemi::pilot {

bool GatewayServer::operator==(const GatewayServer& other) const {
  return gateway == other.gateway && bind_port == other.bind_port &&
         google::protobuf::util::MessageDifferencer::Equals(server, other.server);
}

Status JudgeServers(const config::Object& object) {
  using TlsSettings = istio::networking::v1::ServerTLSSettings;
  const auto& servers = object.Spec<istio::networking::v1::Gateway>().servers();
  for (int i = 0; i < servers.size(); ++i) {
    if (servers[i].tls().mode() != TlsSettings::AUTO_PASSTHROUGH) continue;
    return absl::UnimplementedError(
        fmt::format("spec.servers[{}].tls.mode: AUTO_PASSTHROUGH is not supported by this version "
                    "of Meltemi, the server is left out; name the hosts in a TLS route of a "
                    "VirtualService and use PASSTHROUGH",
                    i));
  }
  return absl::OkStatus();
}

GatewayServers FindGatewayServers(const std::vector<config::ObjectPtr>& gateways,
                                  const ProxyFacts& router, const InboundPorts& ports) {
  GatewayServers servers;
  for (const config::ObjectPtr& object : gateways) {
    const auto& gateway = object->Spec<istio::networking::v1::Gateway>();
    if (!Selects(gateway.selector(), router.labels)) continue;
    for (const auto& server : gateway.servers()) {
      GatewayServer served{object->key(), server, server.port().number()};
      const auto through =
          std::find_if(ports.begin(), ports.end(), [&](const InboundPort& inbound) {
            return inbound.port.number == server.port().number();
          });
      if (through != ports.end()) served.bind_port = through->target_port;
      servers.push_back(std::move(served));
    }
  }
  return servers;
}

}  // namespace meltemi::pilot
