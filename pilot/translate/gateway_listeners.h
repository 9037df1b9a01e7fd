// SPDX-License-Identifier: Apache-2.0
// A router's listeners, one per socket of its Gateways' servers (istio-control-plane.md §2.13).
// Pure but for what is read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace meltemi::pilot {

std::vector<std::string> GatewayListenerNames(Reader& reader, const ProxyFacts& router);
// nullptr when no server wants it, or no VirtualService says where its connections go.
std::unique_ptr<envoy::config::listener::v3::Listener> BuildGatewayListener(
    Reader& reader, const ProxyFacts& router, const std::string& name);

}  // namespace meltemi::pilot
