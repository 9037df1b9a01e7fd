// SPDX-License-Identifier: Apache-2.0
// Which requests are logged, or have their local reply changed. Immutable, shared by the workers.
#pragma once

#include <memory>

#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "lib/base/status.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class LogFilter {
 public:
  virtual ~LogFilter() = default;
  virtual bool Selects(const StreamInfo& info) const = 0;
};

StatusOr<std::unique_ptr<const LogFilter>> CompileLogFilter(
    const envoy::config::accesslog::v3::AccessLogFilter& from);

}  // namespace meltemi::proxy
