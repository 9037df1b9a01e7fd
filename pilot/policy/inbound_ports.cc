// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/inbound_ports.h"

#include <algorithm>
#include <tuple>

namespace meltemi::pilot {

InboundPorts FindInboundPorts(
    const ServiceList& services, const Labels& labels,
    const std::function<uint32_t(const Service&, const ServicePort&)>& named_port) {
  InboundPorts inbound;
  for (const ServicePtr& service : services) {
    if (service->selector.empty() || !Selects(service->selector, labels)) continue;
    for (const ServicePort& port : service->ports) {
      if (port.protocol == Protocol::kUdp) continue;
      const uint32_t target =
          port.target_number != 0 ? port.target_number : named_port(*service, port);
      if (target != 0) inbound.push_back({service, port, target});
    }
  }
  // Services came oldest first; who shares a target port stays in that order.
  const auto order = [&](const InboundPort& p) {
    return std::make_tuple(p.target_port, p.service->created, p.service->host, p.port.number);
  };
  std::sort(inbound.begin(), inbound.end(),
            [&](const InboundPort& a, const InboundPort& b) { return order(a) < order(b); });
  return inbound;
}

}  // namespace meltemi::pilot
