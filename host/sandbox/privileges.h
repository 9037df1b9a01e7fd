// SPDX-License-Identifier: Apache-2.0
// Who a process of a sandbox is. Called in the sandbox's first process only.
#pragma once

#include "lib/base/status.h"

namespace meltemi::host {

// Maps the owner's own uid and gid onto themselves, so that files look the same inside and outside.
Status MapOwnIds(unsigned uid, unsigned gid);

// Gives up every capability for good, also for what is executed later (by a uid of 0 too), and
// closes the process to tracing by the app.
Status DropPrivileges();

}  // namespace meltemi::host
