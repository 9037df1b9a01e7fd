// SPDX-License-Identifier: Apache-2.0
// The one interface behind which objects are held: a directory of YAML, the embedded store, a
// Kubernetes API server. Model-thread only.
//
// Versions are counted per store: each accepted change gets the next one. A watch started at a
// version delivers each later change once, in order; it never misses or repeats one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::config {

enum class EventType { kAdded, kModified, kDeleted };

struct Event {
  EventType type;
  ObjectPtr object;  // for kDeleted its last state
  uint64_t version;
  ObjectPtr previous = {};  // for kModified the state before, where the store knows it
};

struct ObjectList {
  std::vector<ObjectPtr> objects;  // sorted by namespace, name
  uint64_t version;                // watch from here to see what comes after
};

// Ends the watch when destroyed; no callback comes after.
class Watch {
 public:
  virtual ~Watch() = default;
};

struct WatchOptions {
  const Kind* kind = nullptr;  // nullptr = every kind
  std::string ns = {};         // "" = every namespace
  uint64_t from_version = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  virtual ObjectList List(const Kind* kind, const std::string& ns) const = 0;  // nullptr, "" = all
  virtual ObjectPtr Get(const ObjectKey& key) const = 0;                       // nullptr = none
  // Events are delivered from the loop, never inside this call; several per call, in one batch that
  // belongs together (one transaction, one directory scan). OutOfRange when `from_version` is no
  // longer kept.
  virtual StatusOr<std::unique_ptr<Watch>> StartWatch(
      const WatchOptions& options, std::function<void(const std::vector<Event>&)> on_events) = 0;

  // Writes. FailedPrecondition on a read-only store. What they return ok for survives kill -9.
  virtual StatusOr<ObjectPtr> Create(ObjectPtr object) = 0;  // AlreadyExists
  // Aborted when object->meta.resource_version is set and not the stored one. Keeps the stored
  // status.
  virtual StatusOr<ObjectPtr> Update(ObjectPtr object) = 0;
  // Replaces only .status; no new generation.
  virtual StatusOr<ObjectPtr> UpdateStatus(ObjectPtr object) = 0;
  virtual Status Delete(const ObjectKey& key, const std::string& resource_version) = 0;  // NotFound

  virtual uint64_t version() const = 0;
};

}  // namespace meltemi::config
