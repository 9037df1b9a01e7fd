// SPDX-License-Identifier: Apache-2.0
// Requests that wait until every connected proxy lives on the configuration as it was when they
// came (GET /debug/live). Model-thread only.
//
//     came ──► the stores' events are with Pilot ──► every proxy accepted, or rejected ──► answered
//                             └────────────── or the time is over ──────────────┘
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "cmd/meltemid/config_feed.h"
#include "lib/http/service.h"
#include "lib/runtime/loop.h"
#include "lib/xds/server.h"

namespace meltemi::cmd {

inline constexpr size_t kLiveWaitsMax = 1000;
inline constexpr Duration kLiveWaitMax = std::chrono::minutes(5);

class LiveWaits final {
 public:
  LiveWaits(runtime::Loop& loop, const ConfigFeed& feed, const xds::AdsServer& ads)
      : loop_(loop), feed_(feed), ads_(ads) {}
  LiveWaits(const LiveWaits&) = delete;
  LiveWaits& operator=(const LiveWaits&) = delete;

  void Add(Duration timeout, std::shared_ptr<http::Responder> responder);
  // Something changed; looked at once at the end of the pass, however often it is called.
  void Poke();

 private:
  struct Wait {
    ConfigFeed::Mark mark;
    std::optional<uint64_t> version;  // Pilot's, once it has what `mark` says
    MonotonicTime began;
    std::shared_ptr<http::Responder> responder;
    std::unique_ptr<runtime::Timer> timeout;
    bool is_gone = false;
  };
  class Look final : public runtime::Deferred {
   public:
    explicit Look(LiveWaits& waits) : waits_(waits) {}

   private:
    void RunDeferred() override { waits_.Check(); }
    LiveWaits& waits_;
  };

  void Check();
  bool IsDecided(Wait& wait) const;
  void Answer(Wait& wait) const;

  runtime::Loop& loop_;
  const ConfigFeed& feed_;
  const xds::AdsServer& ads_;
  std::list<std::shared_ptr<Wait>> waits_;
  Look look_{*this};
};

}  // namespace meltemi::cmd
