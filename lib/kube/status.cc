// SPDX-License-Identifier: Apache-2.0
#include "lib/kube/status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace meltemi::kube {
namespace {

// What is not a Status object is shown, but not a whole page of it.
constexpr size_t kForeignBytesMax = 300;

absl::StatusCode CodeOf(int http_status, const std::string& reason) {
  switch (http_status) {
    case 400:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 501:
      return absl::StatusCode::kUnimplemented;
    case 409:
      return reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                       : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 413:
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return http_status < 500 ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kInternal;
  }
}

std::string StringOf(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int NumberOf(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int>() : 0;
}

}  // namespace

Status StatusOfObject(const nlohmann::json& status) {
  if (!status.is_object()) return absl::InternalError("an error without a Status object");
  const int code = NumberOf(status, "code");
  const std::string reason = StringOf(status, "reason");
  const std::string message = StringOf(status, "message");
  return Status(CodeOf(code, reason), ToAbsl(message.empty() ? reason : message));
}

Status StatusOfAnswer(int http_status, const std::string& body) {
  if (http_status >= 200 && http_status < 300) return absl::OkStatus();
  const nlohmann::json object = nlohmann::json::parse(body, nullptr, false);
  if (object.is_object() && StringOf(object, "kind") == "Status") {
    const std::string message = StringOf(object, "message");
    const std::string reason = StringOf(object, "reason");
    return Status(CodeOf(http_status, reason), ToAbsl(message.empty() ? reason : message));
  }
  return Status(CodeOf(http_status, ""), ToAbsl(fmt::format("the API answered {}: {}", http_status,
                                                            body.substr(0, kForeignBytesMax))));
}

}  // namespace meltemi::kube
