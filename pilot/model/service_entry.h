// SPDX-License-Identifier: Apache-2.0
// A ServiceEntry as services, one per host, and the endpoints it lists itself. Pure functions but
// for the addresses they take.
#pragma once

#include <functional>
#include <string>

#include "api/mesh/v1alpha1/config.pb.h"
#include "api/networking/v1/service_entry.pb.h"
#include "lib/base/status.h"
#include "lib/config/object.h"
#include "pilot/model/service.h"
#include "pilot/model/workload.h"

namespace meltemi::pilot {

// `take_address` gives a virtual address for a host that has none.
StatusOr<ServiceList> ServicesFromEntry(
    const config::Object& object, const istio::mesh::v1alpha1::MeshConfig& mesh,
    const std::function<std::string(const std::string& host)>& take_address);

// spec.endpoints as workloads, named as Istio names them ("NAME-0"); with resolution by DNS and no
// endpoints the host itself.
WorkloadList InlineWorkloads(const config::Object& object, const std::string& host);

}  // namespace meltemi::pilot
