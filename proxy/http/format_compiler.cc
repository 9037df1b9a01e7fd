// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/format_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/routing/string_match.h"

namespace meltemi::proxy {
namespace {

// Names in "%RESP(X?Y)%".
void CollectResponseHeaders(std::string_view format, std::vector<std::string>& names) {
  constexpr std::string_view kMark = "%RESP(";
  for (size_t at = format.find(kMark); at != std::string_view::npos; at = format.find(kMark, at)) {
    at += kMark.size();
    std::string_view rest = format.substr(at, format.find(')', at) - at);
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('?'), rest.size());
      names.push_back(routing::LowerCase(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

StatusOr<CompiledFormat> CompileJson(const google::protobuf::Struct& from) {
  std::vector<std::pair<std::string, std::string>> members;
  std::vector<std::string> response_headers;
  for (const auto& [key, value] : from.fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue) {
      return absl::InvalidArgumentError(fmt::format("json_format: \"{}\" must be a string", key));
    }
    members.emplace_back(key, value.string_value());
    CollectResponseHeaders(value.string_value(), response_headers);
  }
  std::sort(members.begin(), members.end());  // protobuf keeps no order
  MELTEMI_ASSIGN_OR_RETURN(auto format, telemetry::AccessLogFormat::CompileJson(members));
  return CompiledFormat{std::move(format), std::move(response_headers)};
}

}  // namespace

StatusOr<CompiledFormat> CompileFormatText(std::string_view text, FormatUse use) {
  MELTEMI_ASSIGN_OR_RETURN(auto format, use == FormatUse::kBody
                                            ? telemetry::AccessLogFormat::CompileBody(text)
                                            : telemetry::AccessLogFormat::CompileText(text));
  CompiledFormat compiled{std::move(format), {}};
  CollectResponseHeaders(text, compiled.response_headers);
  return compiled;
}

StatusOr<CompiledFormat> CompileFormatString(
    const envoy::config::core::v3::SubstitutionFormatString& from, FormatUse use) {
  using From = envoy::config::core::v3::SubstitutionFormatString;
  switch (from.format_case()) {
    case From::kJsonFormat:
      return CompileJson(from.json_format());
    case From::kTextFormat:
      return CompileFormatText(from.text_format(), use);
    case From::kTextFormatSource: {
      const auto& source = from.text_format_source();
      if (source.has_filename() || source.has_environment_variable()) {
        return absl::InvalidArgumentError("text_format_source must be inline");
      }
      return CompileFormatText(
          source.has_inline_bytes() ? source.inline_bytes() : source.inline_string(), use);
    }
    default:
      return absl::InvalidArgumentError("give text_format_source or json_format");
  }
}

}  // namespace meltemi::proxy
