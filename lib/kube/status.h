// SPDX-License-Identifier: Apache-2.0
// Kubernetes' Status object as absl::Status.
//
//   400, 422 InvalidArgument   401 Unauthenticated   403 PermissionDenied   404 NotFound
//   409 AlreadyExists when its reason says so, else Aborted (a conflict: read again and retry)
//   410 OutOfRange (the version is no longer kept)   429 ResourceExhausted   503 Unavailable
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/status.h"

namespace meltemi::kube {

// The error that an answer with this HTTP status and body stands for; OK for 2xx.
Status StatusOfAnswer(int http_status, const std::string& body);
// Of a Status object that came as an event of a watch.
Status StatusOfObject(const nlohmann::json& status);

}  // namespace meltemi::kube
