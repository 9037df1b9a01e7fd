// SPDX-License-Identifier: Apache-2.0
// What both stores share: the objects in memory, a bounded history of events, and the watches.
// Loop-thread only.
//
// Invariants:
//  1. Versions of committed events rise; every event of a version above a watch's start reaches it
//     once, in order, one call per batch.
//  2. No callback runs inside Commit() or StartWatch(): they are told from the loop.
//  3. A watch may outlive the table (it then stays silent) and may be destroyed in any callback.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/config/store.h"
#include "lib/runtime/loop.h"

namespace meltemi::galley {

// Kubernetes keeps five minutes of changes; this is as much for 50 changes a second.
inline constexpr size_t kHistoryEventsMax = 16 * 1024;

class ObjectTable final {
 public:
  using OnEvents = std::function<void(const std::vector<config::Event>&)>;

  explicit ObjectTable(runtime::Loop& loop, size_t history_events_max = kHistoryEventsMax);
  ~ObjectTable();
  ObjectTable(const ObjectTable&) = delete;
  ObjectTable& operator=(const ObjectTable&) = delete;

  // What was there before the first event; no history leads to it. Requires: an empty table.
  void Load(const std::vector<config::ObjectPtr>& objects, uint64_t version);
  // Takes a batch that has already happened. Requires: versions rise above version().
  void Commit(std::vector<config::Event> batch);

  config::ObjectList List(const config::Kind* kind, const std::string& ns) const;
  config::ObjectPtr Get(const config::ObjectKey& key) const;
  StatusOr<std::unique_ptr<config::Watch>> StartWatch(const config::WatchOptions& options,
                                                      OnEvents on_events);
  uint64_t version() const { return version_; }
  size_t size() const { return objects_.size(); }
  const std::map<config::ObjectKey, config::ObjectPtr>& objects() const { return objects_; }

 private:
  using Batch = std::shared_ptr<const std::vector<config::Event>>;
  struct Watcher;
  class TableWatch;

  void Remember(Batch batch);
  void DropEnded();
  void PostDelivery();
  void Deliver();
  static void Deliver(Watcher& watcher);

  runtime::Loop& loop_;
  const size_t history_events_max_;
  std::map<config::ObjectKey, config::ObjectPtr> objects_;
  uint64_t version_ = 0;
  std::deque<Batch> history_;
  size_t history_events_ = 0;
  uint64_t kept_from_ = 0;  // a watch can start here or later
  std::vector<std::shared_ptr<Watcher>> watchers_;
  bool is_delivery_posted_ = false;
  std::shared_ptr<ObjectTable*> self_;  // empty for work that is posted and finds us gone
};

}  // namespace meltemi::galley
