// SPDX-License-Identifier: Apache-2.0
// Statuses as Kubernetes' Status objects.
//
//   InvalidArgument 422 Invalid            NotFound 404        AlreadyExists 409 AlreadyExists
//   Aborted 409 Conflict                   OutOfRange 410      Unauthenticated 401
//   PermissionDenied 403                   Unimplemented 405   FailedPrecondition 405 (read-only)
//   ResourceExhausted 507                  Unavailable 503     the rest 500
// BadRequest() and UnsupportedMediaType() make the ones that no code stands for.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/base/status.h"
#include "lib/config/kind.h"
#include "lib/http/service.h"

namespace meltemi::galley {

// What an error is about; empty parts are left out.
struct ErrorDetails {
  const config::Kind* kind = nullptr;
  std::string name = {};
  nlohmann::json causes = nlohmann::json::array();
};

Status BadRequest(std::string_view message);            // 400
Status UnsupportedMediaType(std::string_view message);  // 415
Status TooLarge(std::string_view message);              // 413

nlohmann::json ErrorObject(const Status& status, const ErrorDetails& details = {});
http::ServiceResponse ErrorResponse(const Status& status, const ErrorDetails& details = {});
http::ServiceResponse JsonResponse(int code, std::string body);
http::ServiceResponse JsonResponse(int code, const nlohmann::json& body);
std::string Dump(const nlohmann::json& value);  // never fails

}  // namespace meltemi::galley
