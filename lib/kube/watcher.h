// SPDX-License-Identifier: Apache-2.0
// All objects of one kind, kept up to date: list, then watch. Loop thread only.
//
// Invariants:
//  1. Each change is told once, in the API's order. A watch that breaks is taken up again at the
//     version last heard; when that is no longer kept (410) everything is listed anew and the
//     differences are told, deletions included.
//  2. Only versions that differ count: an object whose resourceVersion is the known one is not
//     told again.
//  3. It never gives up: waits 0.1 s to 10 s between attempts, doubled with each failure in a row,
//     with up to a quarter of jitter.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "lib/kube/client.h"

namespace meltemi::kube {

enum class ChangeType { kAdded, kModified, kDeleted };

struct Change {
  ChangeType type;
  Json object;  // of a deletion that was found by listing, only apiVersion, kind and metadata
};

struct WatcherOptions {
  const config::Kind* kind = nullptr;
  std::string ns = {};  // "" = every namespace
  Duration wait_min = std::chrono::milliseconds(100);
  Duration wait_max = std::chrono::seconds(10);
  // A watch is asked to end after this, and taken up again: a peer that vanished silently is found.
  std::chrono::seconds watch_for = std::chrono::minutes(5);
};

class Watcher final {
 public:
  using OnChanges = std::function<void(const std::vector<Change>&)>;

  // Starts at once; `on_changes` comes from the loop. The client must outlive the watcher.
  Watcher(Client& client, WatcherOptions options, OnChanges on_changes);
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Whether the present state has been told once.
  bool has_synced() const { return has_synced_; }
  // Why the last attempt failed; OK while it works.
  const Status& status() const { return status_; }

 private:
  struct Known {
    std::string version;
    Json identity;  // apiVersion, kind, metadata
  };

  void List();
  void OnList(StatusOr<Json> list);
  void StartWatch();
  void OnBytes(std::string_view bytes);
  void OnLine(std::string_view line, std::vector<Change>* changes);
  void OnWatchEnd(const Status& status);
  void Retry(const Status& why);
  void Take(ChangeType type, Json object, std::vector<Change>* changes);

  Client& client_;
  const WatcherOptions options_;
  const OnChanges on_changes_;
  std::map<std::string, Known> known_;  // by "namespace/name"
  std::string version_;                 // "" = list first
  std::string line_;                    // the part of an event that has come
  Client::Call call_;
  int watch_http_status_ = 0;
  Status watch_error_;  // said by the watch itself
  bool has_synced_ = false;
  Status status_;
  int failures_ = 0;
  std::minstd_rand random_{std::random_device{}()};
  runtime::Timer timer_;
};

}  // namespace meltemi::kube
