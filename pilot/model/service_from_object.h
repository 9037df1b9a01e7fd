// SPDX-License-Identifier: Apache-2.0
// A Kubernetes Service as the mesh sees it. Pure function.
#pragma once

#include <string>

#include "api/mesh/v1alpha1/config.pb.h"
#include "lib/base/status.h"
#include "lib/config/object.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {

// Requires: `object` is of kind Service. An error says why it cannot be used.
StatusOr<ServicePtr> ServiceFromObject(const config::Object& object, const std::string& domain,
                                       const istio::mesh::v1alpha1::MeshConfig& mesh);

}  // namespace meltemi::pilot
