// SPDX-License-Identifier: Apache-2.0
// Where a finished request is written to. Immutable, shared by the workers; Write is called once
// per request on the worker's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class AccessLog {
 public:
  virtual ~AccessLog() = default;
  virtual void Write(const StreamInfo& info) const = 0;
  // Names (lower case) of response headers it asks for: kept, as a response's head may go before
  // the log.
  virtual const std::vector<std::string>& response_headers() const = 0;
};

using AccessLogs = std::vector<std::shared_ptr<const AccessLog>>;

}  // namespace meltemi::proxy
