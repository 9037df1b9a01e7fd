// SPDX-License-Identifier: Apache-2.0
// X-Forwarded-Client-Cert: what of the client's certificate is told upstream. Pure.
#pragma once

#include <string>

#include "lib/http/headers.h"
#include "proxy/http/http_options.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

// What a connection's requests say of its client: made once per connection, kept in its facts.
// For a verified peer; "" where the options never send it.
std::string ClientCertElement(const HttpOptions& options, const TlsFacts& tls);

void ForwardClientCert(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::HeaderMap& headers);

}  // namespace meltemi::proxy
