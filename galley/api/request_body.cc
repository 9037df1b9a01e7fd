// SPDX-License-Identifier: Apache-2.0
#include "galley/api/request_body.h"

#include <fmt/format.h>

#include "galley/api/errors.h"
#include "galley/api/kubernetes_protobuf.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

bool IsNestedTooDeep(std::string_view text) {
  size_t depth = 0;
  bool is_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (is_string) {
      if (c == '\\') ++at;
      if (c == '"') is_string = false;
      continue;
    }
    if (c == '"') is_string = true;
    if (c == '{' || c == '[') {
      // A batch wraps the objects twice.
      if (++depth > config::kNestingMax + 2) return true;
    }
    if ((c == '}' || c == ']') && depth > 0) --depth;
  }
  return false;
}

bool IsYaml(const std::string& content_type) {
  return content_type.find("yaml") != std::string::npos;
}

}  // namespace

StatusOr<json> ReadBody(const http::ServiceRequest& request, size_t bytes_max) {
  if (request.body.size() > bytes_max) {
    return TooLarge(
        fmt::format("the body has {} bytes; {} are the limit", request.body.size(), bytes_max));
  }
  const std::string content_type = request.Header("content-type");
  if (content_type.find("protobuf") != std::string::npos) {
    return ReadKubernetesProtobuf(request.body);
  }
  if (IsYaml(content_type)) {
    auto documents = config::ParseYaml(request.body, "");
    if (!documents.ok()) return BadRequest(Message(documents.status()));
    if (documents->size() != 1) return BadRequest("the body must be one YAML document");
    return std::move(documents->front());
  }
  if (IsNestedTooDeep(request.body)) {
    return BadRequest(fmt::format("the body is nested deeper than {}", config::kNestingMax));
  }
  json body = json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  if (body.is_discarded()) return BadRequest("the body is not valid JSON");
  return body;
}

}  // namespace meltemi::galley
