// SPDX-License-Identifier: Apache-2.0
// What an HTTP stream answers to the commands of an access-log format. Worker-local, pure.
#pragma once

#include "lib/telemetry/access_log_format.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class StreamLogValues final : public telemetry::LogValues {
 public:
  explicit StreamLogValues(const StreamInfo& info) : info_(info) {}
  bool Append(const telemetry::LogCommand& command, std::string& out) const override;

 private:
  bool AppendDownstream(const telemetry::LogCommand& command, std::string& out) const;
  bool AppendUpstream(const telemetry::LogCommand& command, std::string& out) const;
  bool AppendTimes(const telemetry::LogCommand& command, std::string& out) const;

  const StreamInfo& info_;
};

}  // namespace meltemi::proxy
