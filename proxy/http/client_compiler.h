// SPDX-License-Identifier: Apache-2.0
// The part of an HttpConnectionManager that says who the client is and what is believed of its
// headers. Control thread only.
#pragma once

#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "lib/base/status.h"
#include "proxy/http/http_options.h"

namespace meltemi::proxy {

Status CompileClient(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager&
        from,
    HttpOptions& to);

}  // namespace meltemi::proxy
