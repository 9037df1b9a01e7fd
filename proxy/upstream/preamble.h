// SPDX-License-Identifier: Apache-2.0
// What goes ahead of everything else on an upstream connection: a PROXY header that tells the host
// for whom the connection is (envoy.transport_sockets.upstream_proxy_protocol). Such a connection
// serves that client alone, so the header is part of a pool's key.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/net/connection.h"
#include "lib/net/proxy_header.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Immutable; part of a cluster's transport.
struct ProxyProtocolOut {
  int version = 1;
  // Of a header received from the client's side, as far as the listener kept them.
  bool passes_all_tlvs = false;
  std::vector<uint8_t> passed_tlvs;
  std::vector<net::ProxyTlv> added;  // these first; they replace passed ones of the same type
  // Without addresses: AF_UNSPEC with the TLVs instead of LOCAL.
  bool allows_unspecified = false;
};

// Nothing when the TLVs are too long for one header.
std::optional<std::string> MakePreamble(const ProxyProtocolOut& settings, const OnBehalf& of);

// Sends `preamble` in clear before the handshake of `inner`.
std::unique_ptr<net::RecordLayer> NewPreambleLayer(std::string preamble,
                                                   std::unique_ptr<net::RecordLayer> inner);

}  // namespace meltemi::proxy
