// SPDX-License-Identifier: Apache-2.0
// Watches of clients: events of the store as lines of JSON on a response without end. Loop-thread
// only; outlives the HTTP services whose responders it holds.
//
// Invariants:
//  1. A client that goes on from the version of the last line it got neither misses nor repeats an
//     event.
//  2. A batch of the store is one chunk.
//  3. Under a selector, an object that begins to match comes as ADDED, one that ceases as DELETED.
#pragma once

#include <memory>
#include <unordered_map>

#include "galley/api/routes.h"
#include "lib/config/store.h"
#include "lib/http/service.h"
#include "lib/runtime/loop.h"

namespace meltemi::galley {

inline constexpr size_t kWatchesMax = 20'000;
inline constexpr Duration kBookmarkInterval = std::chrono::seconds(60);  // as the API server does

class WatchStreams final {
 public:
  WatchStreams(runtime::Loop& loop, config::Store& store) : loop_(loop), store_(store) {}
  ~WatchStreams();
  WatchStreams(const WatchStreams&) = delete;
  WatchStreams& operator=(const WatchStreams&) = delete;

  void Start(const Route& route, const http::ServiceRequest& request,
             std::shared_ptr<http::Responder> responder);
  size_t size() const { return streams_.size(); }

 private:
  class Stream;
  void Remove(Stream* stream);

  runtime::Loop& loop_;
  config::Store& store_;
  std::unordered_map<Stream*, std::shared_ptr<Stream>> streams_;
};

}  // namespace meltemi::galley
