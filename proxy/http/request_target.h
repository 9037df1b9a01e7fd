// SPDX-License-Identifier: Apache-2.0
// Where a request wants to go, made canonical before anything judges it: host and path, in Envoy's
// order (data-plane.md §2.2, §2.3). Worker-local, pure.
#pragma once

#include <string_view>

#include "lib/http/message.h"
#include "proxy/http/http_options.h"

namespace meltemi::proxy {

struct TargetVerdict {
  int status = 0;  // not 0: answer with it
  std::string_view details;
  std::string_view body;
  std::string_view location;  // of a redirect
};

// `local_port` is where the client wanted to go; for strip_matching_host_port.
TargetVerdict CanonicalizeTarget(const HttpOptions& options, uint16_t local_port,
                                 http::RequestHead& head);

}  // namespace meltemi::proxy
