// SPDX-License-Identifier: Apache-2.0
// Envoy's protocol options → limits and options of our codecs, the same for listeners and clusters.
// Control thread only. What is not supported is an error that names the field.
#pragma once

#include "envoy/config/core/v3/protocol.pb.h"
#include "lib/base/status.h"
#include "lib/http/connection.h"

namespace meltemi::proxy {

// accept_http_10 and default_host_for_http_10 are the connection manager's.
Status CompileHttp1Options(const envoy::config::core::v3::Http1ProtocolOptions& from,
                           http::Limits& to);
Status CompileHttp2Options(const envoy::config::core::v3::Http2ProtocolOptions& from,
                           http::Limits& to);

}  // namespace meltemi::proxy
