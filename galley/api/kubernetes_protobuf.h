// SPDX-License-Identifier: Apache-2.0
// Bodies in Kubernetes' protobuf form (application/vnd.kubernetes.protobuf): what `kubectl create
// namespace|configmap|secret|serviceaccount|token` send, whatever a server says it prefers.
//
// A table knows the fields of those kinds; other kinds are refused, and so is a field it does not
// know: nothing is lost silently.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::galley {

// The object as its JSON; 400 or 415 otherwise.
StatusOr<nlohmann::json> ReadKubernetesProtobuf(std::string_view body);

}  // namespace meltemi::galley
