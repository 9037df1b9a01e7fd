// SPDX-License-Identifier: Apache-2.0
// The paths of the API: what a request is about.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/status.h"
#include "lib/config/kind.h"

namespace meltemi::galley {

enum class Target {
  kHealth,       // /healthz /livez /readyz, and parts below them
  kVersion,      // /version
  kCoreIndex,    // /api
  kGroupIndex,   // /apis
  kGroup,        // /apis/GROUP
  kResources,    // /api/v1, /apis/GROUP/VERSION
  kSchemaIndex,  // /openapi/v3
  kSchema,       // /openapi/v3/api/v1, /openapi/v3/apis/GROUP/VERSION
  kCollection,   // …/PLURAL, …/namespaces/NS/PLURAL
  kItem,         // …/PLURAL/NAME
  kItemStatus,   // …/PLURAL/NAME/status
  kToken,        // …/serviceaccounts/NAME/token
  kBatchApply,   // /apis/meltemi.io/v1/apply
  kBatchDelete,  // /apis/meltemi.io/v1/delete
};

struct Route {
  Target target;
  std::string group = {};              // of kGroup, kResources, kSchema and objects
  std::string version = {};            // likewise, not of kGroup
  const config::Kind* kind = nullptr;  // of objects
  std::string ns = {};                 // "" = every namespace, or a cluster-scoped kind
  std::string name = {};               // of items
  std::string api_version() const;     // as the request names it
};

// NotFound for what the API does not have.
StatusOr<Route> ParseRoute(std::string_view path);

}  // namespace meltemi::galley
