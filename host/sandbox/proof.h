// SPDX-License-Identifier: Apache-2.0
// Proof that capture holds, by traffic and not by reading rules back: run inside each sandbox
// before its app starts, and by a test.
#pragma once

#include "lib/base/status.h"
#include "lib/capture/server.h"

namespace meltemi::host {

// From inside: a TCP connection to an address nobody has (RFC 5737) must come out at the capture
// port with that address as its original destination; a DNS datagram to it must come out at the DNS
// port; IPv6 must be refused. Requires: no proxy holds the sockets of `server` yet.
Status ProveCapture(const capture::Server& server);

}  // namespace meltemi::host
