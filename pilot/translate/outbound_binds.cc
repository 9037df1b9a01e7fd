// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/outbound_binds.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pilot/translate/host_domains.h"
#include "pilot/translate/names.h"

namespace meltemi::pilot {
namespace {

// Of the proxy itself: health, metrics and the two catch-all listeners.
bool IsReserved(uint32_t port) {
  return port == kOutboundPort || port == kInboundPort || port == 15021 || port == 15090;
}

// Protocols in which the server speaks first: to tell HTTP from them would wait for ever.
bool IsServerFirst(uint32_t port) {
  return port == 25 || port == 53 || port == 3306 || port == 27017;
}

// Calls `visit` with each address of the service port, and the range it stands for.
template <typename Visit>
void ForEachAddress(Reader& reader, const ProxyFacts& proxy, const Service& service,
                    const ServicePort& port, const Visit& visit) {
  const std::string wildcard(kWildcard);
  if (port.protocol == Protocol::kUdp) return;
  if (IsHttp(port.protocol)) {
    visit(wildcard, "");
    return;
  }
  const std::vector<std::string> addresses = AddressesOf(service, proxy);
  for (const std::string& address : addresses) {
    if (address.find('/') == std::string::npos) {
      visit(address, "");
    } else {
      visit(wildcard, address);
    }
  }
  if (!addresses.empty()) return;
  if (service.resolution != Resolution::kPassthrough) {
    visit(wildcard, "");
    return;
  }
  // Without an address of its own, a headless service is where its endpoints are. Istio leaves out
  // the proxy's own address; replicas share their listeners here, and the one in excess is of no
  // harm: what an app sends to its own address does not pass through its proxy.
  const EndpointsPtr endpoints = reader.Endpoints(service.key(), port.number);
  for (const Endpoint& endpoint : *endpoints) {
    if (IsIpAddress(endpoint.address)) visit(endpoint.address, "");
  }
  // A ServiceEntry without endpoints stands for hosts that only clients can resolve.
  if (endpoints->empty() && !service.is_kubernetes && service.selector.empty()) {
    visit(wildcard, "");
  }
}

// A quick no: with many services on one port, all are asked for each one's listener.
bool IsElsewhere(const Service& service, const ProxyFacts& proxy, const std::string& address) {
  if (address == kWildcard) return false;
  const auto& known = service.addresses;
  if (!known.empty()) return std::find(known.begin(), known.end(), address) == known.end();
  return proxy.is_meltemi && !service.auto_address.empty() && service.auto_address != address;
}

bool IsMixed(const OutboundBind& bind, const ServicePort& port) {
  for (const BoundPort& use : bind.uses) {
    if (IsHttp(use.port->protocol) != IsHttp(port.protocol)) return true;
  }
  return false;
}

void AddUse(const ServicePtr& service, const ServicePort& port, std::string cidr,
            OutboundBind& bind) {
  if (bind.is_wildcard() && IsReserved(port.number)) return;
  if (IsServerFirst(port.number) && IsMixed(bind, port)) return;
  bind.uses.push_back({service, &port, std::move(cidr)});
}

}  // namespace

OutboundBinds FindBinds(Reader& reader, const ProxyFacts& proxy) {
  OutboundBinds binds;
  for (const ServicePtr& service : *reader.Services(proxy.ns)) {
    for (const ServicePort& port : service->ports) {
      ForEachAddress(reader, proxy, *service, port,
                     [&](const std::string& address, std::string cidr) {
                       auto& bind = binds[fmt::format("{}_{}", address, port.number)];
                       bind.address = address;
                       bind.port = port.number;
                       AddUse(service, port, std::move(cidr), bind);
                     });
    }
  }
  std::erase_if(binds, [](const auto& entry) { return entry.second.uses.empty(); });
  return binds;
}

OutboundBind FindBind(Reader& reader, const ProxyFacts& proxy, const std::string& address,
                      uint32_t port_number) {
  OutboundBind bind{address, port_number, {}};
  for (const ServicePtr& service : *reader.ServicesOnPort(proxy.ns, port_number)) {
    if (IsElsewhere(*service, proxy, address)) continue;
    for (const ServicePort& port : service->ports) {
      if (port.number != port_number) continue;
      ForEachAddress(reader, proxy, *service, port,
                     [&](const std::string& candidate, std::string cidr) {
                       if (candidate == address) AddUse(service, port, std::move(cidr), bind);
                     });
    }
  }
  return bind;
}

}  // namespace meltemi::pilot
