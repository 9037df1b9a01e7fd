// SPDX-License-Identifier: Apache-2.0
// Sockets of a proxy that serves a sandboxed workload on a plain host (lib/capture): what the app
// sends comes in over a listener made inside its namespace, what goes to the app leaves over
// sockets made there; other hosts reach the workload on its own address outside.
#pragma once

#include <memory>
#include <string>

#include "lib/net/address.h"
#include "proxy/listener/socket_source.h"

namespace meltemi::proxy {

// `capture_path` = the sandbox's socket; `workload` = the workload's address (its port is ignored),
// on which the ports of the inbound listener are bound.
std::unique_ptr<SocketSource> NewCapturedSockets(std::string capture_path, net::Address workload);

}  // namespace meltemi::proxy
