// SPDX-License-Identifier: Apache-2.0
// Access logs the mesh config asks for. Pure functions.
#pragma once

#include <google/protobuf/repeated_field.h>

#include "api/mesh/v1alpha1/config.pb.h"

namespace envoy::config::accesslog::v3 {
class AccessLog;
}

namespace meltemi::pilot {

using AccessLogs = google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>;

// Of what was proxied: every request, every connection.
void AddAccessLogs(const istio::mesh::v1alpha1::MeshConfig& mesh, AccessLogs& to);
// Of a listener: connections no filter chain took, which nobody else would log.
void AddUnmatchedAccessLogs(const istio::mesh::v1alpha1::MeshConfig& mesh, AccessLogs& to);

}  // namespace meltemi::pilot
