// SPDX-License-Identifier: Apache-2.0
// PeerAuthentication: how a workload takes connections (istio-api.md §3.5). Pure function.
#pragma once

#include <vector>

#include "lib/config/object.h"
#include "pilot/model/selector.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

// `mesh` = policies of the root namespace, `own` = of the workload's; both oldest first, and the
// same list for workloads of the root namespace.
InboundTls ResolveInboundTls(const std::vector<config::ObjectPtr>& mesh,
                             const std::vector<config::ObjectPtr>& own, bool is_in_root,
                             const Labels& labels);

}  // namespace meltemi::pilot
