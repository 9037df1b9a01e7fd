// SPDX-License-Identifier: Apache-2.0
// The mesh configuration: a user's file over Istio's defaults.
#pragma once

#include <string>

#include "api/mesh/v1alpha1/config.pb.h"
#include "lib/base/status.h"

namespace meltemi::cmd {

// `path` "" = the defaults. Errors name file, line, column and field.
StatusOr<istio::mesh::v1alpha1::MeshConfig> LoadMeshConfig(const std::string& path);

}  // namespace meltemi::cmd
