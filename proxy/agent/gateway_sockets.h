// SPDX-License-Identifier: Apache-2.0
// Sockets of a gateway that shares a machine with the mesh's workloads. What its listeners bind on
// every address they bind on the machine's own addresses one by one, and on the gateway's: a
// wildcard socket would collide with each workload that serves the same port on its own address
// of 127.0.0.0/8.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/net/address.h"
#include "proxy/listener/socket_source.h"

namespace meltemi::proxy {

// `own` = the gateway's address (its port is ignored).
std::unique_ptr<SocketSource> NewGatewaySockets(net::Address own);

// 127.0.0.1 and the addresses of interfaces that are up, without those of 127.0.0.0/8; IPv4.
std::vector<net::Address> MachineAddresses();

}  // namespace meltemi::proxy
