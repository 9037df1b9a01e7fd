// SPDX-License-Identifier: Apache-2.0
// Which kinds this version gives effect to. A policy that cannot be enforced is refused, never
// skipped (ARCHITECTURE.md, invariant 9). Pure functions.
#pragma once

#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::galley {

// False for kinds of the mesh that nothing reads yet. Kinds that are not the mesh's business
// (workloads, accounts, CRDs) count as enforced: whoever runs them does.
bool IsEnforced(const config::Kind& kind);
// The judge of the API: InvalidArgument, with what to do, for an object that would have no effect.
Status JudgeEnforced(const config::Object& object);

}  // namespace meltemi::galley
