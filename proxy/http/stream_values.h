// SPDX-License-Identifier: Apache-2.0
// Values of command operators from a stream's facts, for header templates. Worker-local, pure.
#pragma once

#include "lib/routing/header_template.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class StreamValues final : public routing::ValueSource {
 public:
  explicit StreamValues(const StreamInfo& info) : info_(info) {}
  std::string_view Value(routing::ValueCommand command, std::string_view argument,
                         Arena& arena) const override;

 private:
  const StreamInfo& info_;
};

// "2026-01-31T12:00:00.123Z"
std::string_view FormatTime(WallTime time, Arena& arena);

}  // namespace meltemi::proxy
