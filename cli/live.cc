// SPDX-License-Identifier: Apache-2.0
#include "cli/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/output/table.h"
#include "host/controllers/json.h"
#include "lib/config/duration.h"

namespace meltemi::cli {
namespace {

using host::ArrayAt;
using host::NumberAt;
using host::StringAt;

// One question: short enough for a signal to be heard, long enough not to ask often.
constexpr Duration kAskMax = std::chrono::seconds(1);
constexpr Duration kAnswerSlack = std::chrono::seconds(5);

Duration Left(MonotonicTime deadline) {
  return std::max<Duration>(deadline - RealClock().Monotonic(), Duration::zero());
}

}  // namespace

StatusOr<Live> AwaitLive(RunningMesh& mesh, Duration wait_max, const Signals* signals) {
  const MonotonicTime deadline = RealClock().Monotonic() + wait_max;
  for (;;) {
    const auto ask =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::min(Left(deadline), kAskMax));
    const auto answer =
        mesh.Monitoring(fmt::format("/debug/live?timeout={}ms", ask.count()), ask + kAnswerSlack);
    if (signals != nullptr && signals->HasCome()) return absl::CancelledError("interrupted");
    if (!answer.ok()) return answer.status();
    Live live;
    live.proxies = NumberAt(*answer, "proxies");
    live.live = NumberAt(*answer, "live");
    for (const Json& one : ArrayAt(*answer, "rejected"))
      live.rejected.push_back(fmt::format("{} rejects {}: {}", StringAt(one, "proxy"),
                                          StringAt(one, "type"), StringAt(one, "error")));
    if (live.live >= live.proxies || !live.rejected.empty() || Left(deadline) == Duration::zero())
      return live;
  }
}

int ReportLive(RunningMesh& mesh, Duration wait_max, MonotonicTime since) {
  const auto live = AwaitLive(mesh, wait_max);
  if (!live.ok()) return Fail(live.status());
  const double seconds = std::chrono::duration<double>(RealClock().Monotonic() - since).count();
  fmt::print("live on {} of {} proxies in {}\n", live->live, live->proxies, HumanDuration(seconds));
  std::fflush(stdout);
  if (!live->rejected.empty()) {
    std::string remedy;
    for (const std::string& one : live->rejected) remedy += one + "\n";
    return Fail("the change is stored, but proxies rejected it and go on with what they had",
                remedy + "correct it and apply it again");
  }
  if (live->live >= live->proxies) return kExitOk;
  (void)Fail("the change is stored, but not every proxy has taken it yet",
             "`meltemi wait --for=live` waits on; `meltemi status` shows the proxies");
  return kExitTimedOut;
}

std::vector<Problem> ReadProblems(RunningMesh& mesh) {
  std::vector<Problem> problems;
  const auto answer = mesh.Monitoring("/debug/config_version", kAnswerSlack);
  if (!answer.ok()) return problems;
  for (const Json& one : ArrayAt(*answer, "problems"))
    problems.push_back({StringAt(one, "object"), StringAt(one, "message")});
  return problems;
}

void WarnOf(RunningMesh& mesh, const std::vector<config::ObjectPtr>& objects) {
  for (const Problem& problem : ReadProblems(mesh)) {
    const bool is_applied = std::any_of(objects.begin(), objects.end(), [&](const auto& object) {
      return object->key().text() == problem.object;
    });
    if (is_applied) fmt::print(stderr, "warning: {}: {}\n", problem.object, problem.message);
  }
}

StatusOr<Duration> ReadDuration(const std::string& text) {
  const auto duration = config::ParseDuration(text);
  if (!duration.has_value() || *duration < Duration::zero())
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is no length of time\nwrite it as 30s, 500ms or 2m", text));
  return *duration;
}

}  // namespace meltemi::cli
