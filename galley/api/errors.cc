// SPDX-License-Identifier: Apache-2.0
#include "galley/api/errors.h"

#include <algorithm>
#include <optional>

namespace meltemi::galley {
namespace {

using nlohmann::json;

struct HttpError {
  int code;
  const char* reason;
};

constexpr HttpError kBadRequest = {400, "BadRequest"};
constexpr HttpError kTooLarge = {413, "RequestEntityTooLarge"};
constexpr HttpError kUnsupported = {415, "UnsupportedMediaType"};
constexpr char kPayload[] = "meltemi/http";  // names one of the above by its code

Status Mark(std::string_view message, const HttpError& error) {
  Status status = absl::InvalidArgumentError(ToAbsl(message));
  status.SetPayload(kPayload, absl::Cord(ToAbsl(std::to_string(error.code))));
  return status;
}

HttpError HttpErrorOf(const Status& status) {
  if (const auto payload = status.GetPayload(kPayload)) {
    if (*payload == "400") return kBadRequest;
    if (*payload == "413") return kTooLarge;
    if (*payload == "415") return kUnsupported;
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return {422, "Invalid"};
    case absl::StatusCode::kNotFound:
      return {404, "NotFound"};
    case absl::StatusCode::kAlreadyExists:
      return {409, "AlreadyExists"};
    case absl::StatusCode::kAborted:
      return {409, "Conflict"};
    case absl::StatusCode::kOutOfRange:
      return {410, "Expired"};
    case absl::StatusCode::kUnauthenticated:
      return {401, "Unauthorized"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "Forbidden"};
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return {405, "MethodNotAllowed"};
    case absl::StatusCode::kResourceExhausted:
      return {507, "InsufficientStorage"};
    case absl::StatusCode::kUnavailable:
      return {503, "ServiceUnavailable"};
    default:
      return {500, "InternalError"};
  }
}

// kubectl prints the causes of an Invalid, not its message. Lines are "FIELD: what is wrong".
json CausesOf(std::string_view message) {
  json causes = json::array();
  while (!message.empty()) {
    const size_t end = std::min(message.find('\n'), message.size());
    std::string_view line = message.substr(0, end), field = "spec";
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos && line.substr(0, colon).find(' ') == line.npos) {
      field = line.substr(0, colon);
      line.remove_prefix(colon + 2);
    }
    causes.push_back({{"reason", "FieldValueInvalid"}, {"message", line}, {"field", field}});
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return causes;
}

}  // namespace

Status BadRequest(std::string_view message) {
  return Mark(message, kBadRequest);
}

Status UnsupportedMediaType(std::string_view message) {
  return Mark(message, kUnsupported);
}

Status TooLarge(std::string_view message) {
  return Mark(message, kTooLarge);
}

json ErrorObject(const Status& status, const ErrorDetails& details) {
  const HttpError error = HttpErrorOf(status);
  json about = json::object();
  if (!details.name.empty()) about["name"] = details.name;
  if (details.kind != nullptr) {
    about["kind"] = error.code == 422 ? details.kind->kind : details.kind->plural;
    if (!details.kind->group.empty()) about["group"] = details.kind->group;
  }
  if (!details.causes.empty()) {
    about["causes"] = details.causes;
  } else if (error.code == 422) {
    about["causes"] = CausesOf(Message(status));
  }
  return {{"kind", "Status"},    {"apiVersion", "v1"},         {"metadata", json::object()},
          {"status", "Failure"}, {"message", Message(status)}, {"reason", error.reason},
          {"details", about},    {"code", error.code}};
}

http::ServiceResponse ErrorResponse(const Status& status, const ErrorDetails& details) {
  return JsonResponse(HttpErrorOf(status).code, ErrorObject(status, details));
}

http::ServiceResponse JsonResponse(int code, std::string body) {
  return {.status = code, .content_type = "application/json", .body = std::move(body)};
}

http::ServiceResponse JsonResponse(int code, const json& body) {
  return JsonResponse(code, Dump(body));
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace meltemi::galley
