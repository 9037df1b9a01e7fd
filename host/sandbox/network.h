// SPDX-License-Identifier: Apache-2.0
// The network of a sandbox, made from inside its fresh network namespace by its first process while
// that still has capabilities there. Nothing here touches the host's own network.
#pragma once

#include <string>

#include "lib/base/status.h"

namespace meltemi::host {

// All workload addresses of one machine lie here; traffic to them is captured though they look like
// loopback.
inline constexpr const char* kWorkloadNetwork = "127.77.0.0/16";

// Loopback up, every IPv4 address local to it, TCP redirected to the capture port and DNS to the
// DNS port. `own_ip` is the workload's address: the source of the app's connections, and reachable
// inside directly. IPv6 gets no route, so that it is refused at once instead of escaping.
Status SetUpNetwork(const std::string& own_ip);

// The rules SetUpNetwork loads, as nft reads them.
std::string CaptureRules(const std::string& own_ip);

}  // namespace meltemi::host
