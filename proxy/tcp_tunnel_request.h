// SPDX-License-Identifier: Apache-2.0
// tcp_proxy's tunneling_config → the request that opens a tunnel for a connection. Control thread
// only; what is returned is immutable.
#pragma once

#include <memory>
#include <string_view>

#include "lib/base/status.h"
#include "proxy/listener/tcp_tunnel.h"

namespace meltemi::proxy {

// A serialized envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig.
StatusOr<std::shared_ptr<const TunnelRequest>> CompileTunnelRequest(std::string_view serialized);

}  // namespace meltemi::proxy
