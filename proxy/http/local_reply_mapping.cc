// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/local_reply_mapping.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "proxy/http/format_compiler.h"
#include "proxy/http/log_filter.h"
#include "proxy/http/log_values.h"
#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;

namespace {

struct BodyFormat {
  telemetry::AccessLogFormat format;
  std::string content_type;
  bool is_json = false;
};

struct Mapper {
  std::unique_ptr<const LogFilter> filter;
  int status = 0;  // 0 = as it is
  std::optional<std::string> body;
  std::optional<BodyFormat> format;
  routing::HeaderMutations headers;
};

class Mapping final : public LocalReplyMapping {
 public:
  Mapping(std::vector<Mapper> mappers, std::optional<BodyFormat> format)
      : mappers_(std::move(mappers)), format_(std::move(format)) {}

  Reply Map(StreamInfo& info, int status, std::string_view body) const override {
    Reply reply{status, body, {}, nullptr};
    info.status = status;
    const BodyFormat* format = format_.has_value() ? &*format_ : nullptr;
    for (const Mapper& mapper : mappers_) {
      if (!mapper.filter->Selects(info)) continue;
      if (mapper.status != 0) info.status = reply.status = mapper.status;
      if (mapper.body.has_value()) reply.body = *mapper.body;
      if (mapper.format.has_value()) format = &*mapper.format;
      if (!mapper.headers.empty()) reply.headers = &mapper.headers;
      break;
    }
    info.local_reply_body = reply.body;
    if (format == nullptr) return reply;
    std::string text;
    format->format.Run(StreamLogValues(info), text);
    // JSON is a line, but as grpc-message it has no end of line (Envoy).
    if (format->is_json && info.is_grpc && text.ends_with('\n')) text.pop_back();
    reply.body = info.arena->Copy(text);
    reply.content_type = format->content_type;
    return reply;
  }

 private:
  const std::vector<Mapper> mappers_;
  const std::optional<BodyFormat> format_;
};

StatusOr<BodyFormat> CompileBodyFormat(
    const envoy::config::core::v3::SubstitutionFormatString& from) {
  MELTEMI_ASSIGN_OR_RETURN(CompiledFormat compiled, CompileFormatString(from, FormatUse::kBody));
  std::string type = from.content_type();
  if (type.empty() && from.has_json_format()) type = "application/json";
  return BodyFormat{std::move(compiled.format), std::move(type), from.has_json_format()};
}

StatusOr<Mapper> CompileMapper(const hcm::ResponseMapper& from) {
  Mapper to;
  if (!from.has_filter()) return absl::InvalidArgumentError("filter is missing");
  MELTEMI_ASSIGN_OR_RETURN(to.filter, CompileLogFilter(from.filter()));
  if (from.has_status_code()) {
    to.status = static_cast<int>(from.status_code().value());
    if (to.status < 200 || to.status > 599) {
      return absl::InvalidArgumentError(
          fmt::format("status_code {} is not in 200..599", to.status));
    }
  }
  if (from.has_body()) {
    const auto& body = from.body();
    if (body.has_filename() || body.has_environment_variable()) {
      return absl::InvalidArgumentError("body must be inline");
    }
    to.body = body.has_inline_bytes() ? body.inline_bytes() : body.inline_string();
  }
  if (from.has_body_format_override()) {
    auto format = CompileBodyFormat(from.body_format_override());
    if (!format.ok()) return WithContext(format.status(), "body_format_override");
    to.format = *std::move(format);
  }
  MELTEMI_ASSIGN_OR_RETURN(to.headers, CompileHeadersToAdd(from.headers_to_add()));
  return to;
}

}  // namespace

StatusOr<std::shared_ptr<const LocalReplyMapping>> CompileLocalReplies(
    const hcm::LocalReplyConfig& from) {
  std::vector<Mapper> mappers;
  for (int i = 0; i < from.mappers_size(); ++i) {
    auto mapper = CompileMapper(from.mappers(i));
    if (!mapper.ok()) {
      return WithContext(mapper.status(), fmt::format("local_reply_config.mappers[{}]", i));
    }
    mappers.push_back(*std::move(mapper));
  }
  std::optional<BodyFormat> format;
  if (from.has_body_format()) {
    auto compiled = CompileBodyFormat(from.body_format());
    if (!compiled.ok()) return WithContext(compiled.status(), "local_reply_config.body_format");
    format = *std::move(compiled);
  }
  return std::make_shared<const Mapping>(std::move(mappers), std::move(format));
}

}  // namespace meltemi::proxy
