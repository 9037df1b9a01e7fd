// SPDX-License-Identifier: Apache-2.0
// Starts one command as a child of this process. Single-threaded callers only: the child runs code
// between fork and exec. Blocks until the exec succeeded or failed.
#pragma once

#include <sys/types.h>

#include <array>

#include "host/sandbox/messages.h"

namespace meltemi::host {

struct Spawned {
  pid_t pid = -1;  // leads a session and a process group of its own
  int error = 0;   // errno of what failed; then there is no child
};

// `stdio` becomes 0, 1 and 2, every other descriptor closes. The child has default signals and only
// the command's environment. `dies_with_parent`: it is killed when the calling thread ends.
Spawned Spawn(const Command& command, const std::array<int, 3>& stdio, bool dies_with_parent);

}  // namespace meltemi::host
