// SPDX-License-Identifier: Apache-2.0
// Which Service ports a workload serves, and on which of its own. Pure but for the lookup.
#pragma once

#include <functional>

#include "pilot/model/selector.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

// `services` = of the workload's namespace. `named_port` gives the number of a target port that is
// said by name, 0 = unknown.
InboundPorts FindInboundPorts(
    const ServiceList& services, const Labels& labels,
    const std::function<uint32_t(const Service&, const ServicePort&)>& named_port);

}  // namespace meltemi::pilot
