// SPDX-License-Identifier: Apache-2.0
// X-Forwarded-Client-Cert: what of the client's certificate is told upstream. Pure.
#pragma once

#include "lib/http/headers.h"
#include "proxy/http/http_options.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

void ForwardClientCert(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::HeaderMap& headers);

}  // namespace meltemi::proxy
