// SPDX-License-Identifier: Apache-2.0
// The sockets a sidecar's services ask for (istio-control-plane.md §2.3). Pure but for what is
// read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pilot/translate/reader.h"

namespace meltemi::pilot {

inline constexpr std::string_view kWildcard = "0.0.0.0";

// A service port on a socket.
struct BoundPort {
  ServicePtr service;
  const ServicePort* port = nullptr;  // of `service`
  std::string cidr;                   // the service's addresses, when they are a range
};

struct OutboundBind {
  std::string address;
  uint32_t port = 0;
  std::vector<BoundPort> uses;  // by precedence

  bool is_wildcard() const { return address == kWildcard; }
};
// By name, "ADDRESS_PORT".
using OutboundBinds = std::map<std::string, OutboundBind>;

OutboundBinds FindBinds(Reader& reader, const ProxyFacts& proxy);
// Only one of them; no uses when nobody asks for it.
OutboundBind FindBind(Reader& reader, const ProxyFacts& proxy, const std::string& address,
                      uint32_t port);

}  // namespace meltemi::pilot
