// SPDX-License-Identifier: Apache-2.0
#include "lib/base/log.h"
#include "proxy/agent/run.h"

namespace meltemi::proxy {

int RunWorkload(WorkloadOptions) {
  MELTEMI_LOG(critical, "the sidecar and router forms are not part of this build; use -c");
  return 1;
}

}  // namespace meltemi::proxy
