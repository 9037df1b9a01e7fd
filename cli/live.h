// SPDX-License-Identifier: Apache-2.0
// Waiting until what was applied is what every proxy does.
#pragma once

#include <string>
#include <vector>

#include "cli/running_mesh.h"
#include "lib/config/object.h"

namespace meltemi::cli {

struct Live {
  int64_t proxies = 0;
  int64_t live = 0;
  std::vector<std::string> rejected;  // "PROXY rejects lds: ERROR"
};

// Asks until every connected proxy is live on the present configuration, or `wait_max` is over
// (then it says so by its numbers). Cancelled when a signal came.
StatusOr<Live> AwaitLive(RunningMesh& mesh, Duration wait_max, const Signals* signals = nullptr);

// Waits, prints "live on 7 of 7 proxies in 38 ms", counted from `since`; names proxies that
// rejected. Returns the exit code.
int ReportLive(RunningMesh& mesh, Duration wait_max, MonotonicTime since);

// What the control plane cannot use of objects it holds: {object, message} each; nothing when it
// does not answer.
struct Problem {
  std::string object;  // ObjectKey::text()
  std::string message;
};
std::vector<Problem> ReadProblems(RunningMesh& mesh);
// Those of `objects`, as warnings: accepted, and yet not done whole.
void WarnOf(RunningMesh& mesh, const std::vector<config::ObjectPtr>& objects);

// "30s", "500ms", "2m", "1h30m" as a duration.
StatusOr<Duration> ReadDuration(const std::string& text);

}  // namespace meltemi::cli
