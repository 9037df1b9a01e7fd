// SPDX-License-Identifier: Apache-2.0
// Where the control thread itself connects when configuration names a cluster: xDS servers,
// collectors of logs and traces. Control thread only.
#pragma once

#include <string>

#include "lib/base/status.h"
#include "lib/grpc/client.h"
#include "proxy/config/model.h"

namespace meltemi::proxy {

// One of the cluster's endpoints, with the cluster's TLS. `turn` chooses: successive turns go
// through all of them. Errors: no such cluster, no endpoint yet, secrets not there yet.
StatusOr<grpc::Target> ControlTarget(const Model& model, const std::string& cluster, size_t turn);

}  // namespace meltemi::proxy
