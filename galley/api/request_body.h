// SPDX-License-Identifier: Apache-2.0
// The body of a request as JSON, with its size and nesting bounded before anything recurses into
// it.
#pragma once

#include <nlohmann/json.hpp>

#include "lib/base/status.h"
#include "lib/http/service.h"

namespace meltemi::galley {

// JSON, or YAML or Kubernetes' protobuf where the content type says so. 400, 413 or 415 otherwise.
StatusOr<nlohmann::json> ReadBody(const http::ServiceRequest& request, size_t bytes_max);

}  // namespace meltemi::galley
