// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "lib/base/log.h"
#include "proxy/agent/agent.h"
#include "proxy/agent/run.h"

namespace meltemi::proxy {

int RunWorkload(WorkloadOptions options) {
  auto loop = runtime::Loop::Create();
  if (!loop.ok()) {
    MELTEMI_LOG(critical, "{}", Message(loop.status()));
    return 1;
  }
  auto agent = Agent::Start(**loop, std::move(options));
  if (!agent.ok()) {
    MELTEMI_LOG(critical, "{}", Message(agent.status()));
    return 1;
  }
  return (*agent)->Run();
}

}  // namespace meltemi::proxy
