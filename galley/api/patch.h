// SPDX-License-Identifier: Apache-2.0
// Patches of a document. Requires of every patch: nesting is bounded (request_body.h), as these
// recurse.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/status.h"

namespace meltemi::galley {

enum class PatchKind { kMerge, kStrategic, kApply };

// By content type. JSON patch (RFC 6902) is refused with 415.
StatusOr<PatchKind> PatchKindOf(const std::string& content_type);

// RFC 7396. A server-side apply is merged the same way: fields that are given replace those that
// are there, lists as a whole; who owns which field is not recorded.
void MergePatch(nlohmann::json& target, const nlohmann::json& patch);

// Kubernetes' strategic merge, which `kubectl apply` sends for core kinds: lists of the well-known
// fields are merged by their key (containers by name, ports by port or containerPort, …), others
// replaced; $patch, $setElementOrder, $deleteFromPrimitiveList and $retainKeys are obeyed.
// InvalidArgument for directives of another shape.
Status StrategicMergePatch(nlohmann::json& target, const nlohmann::json& patch);

}  // namespace meltemi::galley
