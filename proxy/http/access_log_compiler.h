// SPDX-License-Identifier: Apache-2.0
// envoy.config.accesslog.v3.AccessLog → AccessLog. Control thread only.
#pragma once

#include <memory>
#include <string_view>

#include "lib/base/status.h"
#include "proxy/http/access_log.h"
#include "proxy/http/compile.h"

namespace meltemi::proxy {

StatusOr<std::shared_ptr<const AccessLog>> CompileAccessLog(std::string_view serialized,
                                                            const HttpProcess& process);

}  // namespace meltemi::proxy
