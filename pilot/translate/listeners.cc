// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/translate/gateway_listeners.h"
#include "pilot/translate/inbound_listener.h"
#include "pilot/translate/names.h"
#include "pilot/translate/outbound_listeners.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {

Names ListenerNames(Reader& reader, const ProxyFacts& proxy) {
  if (proxy.role == Role::kRouter) return GatewayListenerNames(reader, proxy);
  Names names = OutboundListenerNames(reader, proxy);
  names.emplace_back(kVirtualInbound);
  names.emplace_back(kVirtualOutbound);
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<envoy::config::listener::v3::Listener> BuildListener(Reader& reader,
                                                                     const ProxyFacts& proxy,
                                                                     const std::string& name) {
  if (proxy.role == Role::kRouter) return BuildGatewayListener(reader, proxy, name);
  if (name == kVirtualInbound) return BuildVirtualInbound(reader, proxy);
  if (name == kVirtualOutbound) return BuildVirtualOutbound(reader, proxy);
  const size_t underscore = name.rfind('_');
  if (underscore == std::string::npos) return nullptr;
  uint32_t port = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + underscore + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return nullptr;
  return BuildOutboundListener(reader, proxy, name.substr(0, underscore), port);
}

}  // namespace meltemi::pilot
