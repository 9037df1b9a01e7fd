// SPDX-License-Identifier: Apache-2.0
// The commands, in the order in which help shows them: as a day with a mesh goes.
#include <span>

#include "cli/command.h"

namespace meltemi::cli {

extern const Command kUp, kDown, kRun, kApply, kGet, kDelete, kWait, kStatus, kExec, kLogs,
    kProxyConfig, kVersion, kHelp;

std::span<const Command* const> AllCommands() {
  static constexpr const Command* kAll[] = {&kUp,          &kDown,    &kRun,    &kApply, &kGet,
                                            &kDelete,      &kWait,    &kStatus, &kExec,  &kLogs,
                                            &kProxyConfig, &kVersion, &kHelp};
  return kAll;
}

}  // namespace meltemi::cli
