// SPDX-License-Identifier: Apache-2.0
// SubstitutionFormatString → a compiled format. Control thread only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "envoy/config/core/v3/substitution_format_string.pb.h"
#include "lib/base/status.h"
#include "lib/telemetry/access_log_format.h"

namespace meltemi::proxy {

enum class FormatUse : uint8_t {
  kLog,   // a line: control characters of values are replaced
  kBody,  // of a response
};

struct CompiledFormat {
  telemetry::AccessLogFormat format;
  std::vector<std::string> response_headers;  // lower case, those it asks for
};

StatusOr<CompiledFormat> CompileFormatText(std::string_view text, FormatUse use = FormatUse::kLog);
StatusOr<CompiledFormat> CompileFormatString(
    const envoy::config::core::v3::SubstitutionFormatString& from, FormatUse use);

}  // namespace meltemi::proxy
