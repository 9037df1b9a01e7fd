// SPDX-License-Identifier: Apache-2.0
// Access logs of connections below HTTP: of tcp_proxy and of listeners. They are written by the
// same writers and formats as those of requests; what only a request has is missing ("-").
#pragma once

#include <memory>
#include <string_view>

#include "lib/base/status.h"
#include "proxy/http/compile.h"
#include "proxy/listener/tcp_observer.h"

namespace meltemi::proxy {

// A serialized envoy.config.accesslog.v3.AccessLog.
StatusOr<std::shared_ptr<const TcpObserver>> CompileConnectionLog(std::string_view serialized,
                                                                  const HttpProcess& process);

}  // namespace meltemi::proxy
