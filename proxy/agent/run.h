// SPDX-License-Identifier: Apache-2.0
// A proxy process from its first line to its exit status. Called once, from main's thread, which
// becomes the control thread.
#pragma once

#include "proxy/agent/options.h"

namespace meltemi::proxy {

// Each returns the process's exit status: 0 after an orderly end, 1 when it could not start; the
// reason is on stderr.
int RunBootstrap(BootstrapOptions options);
int RunWorkload(WorkloadOptions options);

}  // namespace meltemi::proxy
