// SPDX-License-Identifier: Apache-2.0
// A sidecar's outbound listeners (istio-control-plane.md §2.3). Pure but for what is read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace meltemi::pilot {

using ListenerPtr = std::unique_ptr<envoy::config::listener::v3::Listener>;

// Without virtualInbound and virtualOutbound.
std::vector<std::string> OutboundListenerNames(Reader& reader, const ProxyFacts& proxy);
// Of a name "ADDRESS_PORT"; nullptr when no service asks for it.
ListenerPtr BuildOutboundListener(Reader& reader, const ProxyFacts& proxy,
                                  const std::string& address, uint32_t port);
// Takes every captured connection, and hands it to the listener of its original destination.
ListenerPtr BuildVirtualOutbound(Reader& reader, const ProxyFacts& proxy);

}  // namespace meltemi::pilot
