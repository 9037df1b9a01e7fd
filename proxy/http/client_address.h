// SPDX-License-Identifier: Apache-2.0
// Who the client is when there are proxies in front of us, and X-Forwarded-* as sent on
// (data-plane.md §2.4). Worker-local; a request without X-Forwarded-For on a sidecar costs nothing.
#pragma once

#include <string_view>

#include "lib/http/message.h"
#include "proxy/http/http_options.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

struct Client {
  std::string_view ip;       // "" = the peer
  bool is_internal = false;  // Envoy's sense: may steer the router by headers
};

Client ResolveClient(const HttpOptions& options, const DownstreamFacts& downstream,
                     http::HeaderMap& headers);

// X-Forwarded-Proto, X-Forwarded-Port and the scheme that the rest goes by.
void SetForwardedProto(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::RequestHead& head);

}  // namespace meltemi::proxy
