// SPDX-License-Identifier: Apache-2.0
// The store of a mesh on one machine: objects in memory, made durable in a state directory
// (store_file.h). Loop-thread only; a write blocks the loop for one disk sync.
//
// Invariants:
//  1. What a write returned ok for survives kill -9 and a power cut; what it refused left no trace.
//  2. Versions go on where they were after a restart; watches from before it get OutOfRange and
//     list again.
//  3. A write that changes nothing writes nothing, and gives back the stored object.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "galley/store/object_table.h"
#include "galley/store/store_file.h"
#include "galley/store/writable_store.h"
#include "lib/base/clock.h"

namespace meltemi::galley {

inline constexpr size_t kStoreObjectsMax = 200'000;

struct EmbeddedOptions {
  // Made at the start where they are missing.
  std::vector<std::string> namespaces = {"default", "istio-system", "kube-system"};
  size_t objects_max = kStoreObjectsMax;
  uint64_t bytes_max = kStoreBytesMax;
  size_t history_events_max = kHistoryEventsMax;
  const Clock* clock = &RealClock();
};

class EmbeddedStore final : public WritableStore {
 public:
  // Errors have two lines: what is wrong, and what to do.
  static StatusOr<std::unique_ptr<EmbeddedStore>> Open(runtime::Loop& loop,
                                                       const std::string& state_dir,
                                                       EmbeddedOptions options = {});
  ~EmbeddedStore() override = default;

  // WritableStore
  StatusOr<std::vector<config::ObjectPtr>> WriteAll(std::vector<Write> writes,
                                                    bool is_trial = false) override;

  // config::Store
  config::ObjectList List(const config::Kind* kind, const std::string& ns) const override {
    return table_.List(kind, ns);
  }
  config::ObjectPtr Get(const config::ObjectKey& key) const override { return table_.Get(key); }
  StatusOr<std::unique_ptr<config::Watch>> StartWatch(
      const config::WatchOptions& options,
      std::function<void(const std::vector<config::Event>&)> on_events) override {
    return table_.StartWatch(options, std::move(on_events));
  }
  StatusOr<config::ObjectPtr> Create(config::ObjectPtr object) override;
  StatusOr<config::ObjectPtr> Update(config::ObjectPtr object) override;
  StatusOr<config::ObjectPtr> UpdateStatus(config::ObjectPtr object) override;
  Status Delete(const config::ObjectKey& key, const std::string& resource_version) override;
  uint64_t version() const override { return table_.version(); }

 private:
  // A batch on its way: what it would make of the table.
  struct Draft {
    std::vector<config::Event> events;
    std::vector<config::ObjectPtr> results;
    uint64_t version;
    int64_t objects_added = 0;
  };

  EmbeddedStore(runtime::Loop& loop, std::unique_ptr<StoreFile> file, EmbeddedOptions options)
      : options_(std::move(options)),
        file_(std::move(file)),
        table_(loop, options_.history_events_max) {}
  Status MakeNamespaces();
  Status Take(const Write& write, Draft& draft);
  Status Remove(const Write& write, Draft& draft);
  Status Add(const config::ObjectPtr& object, Draft& draft);
  Status Replace(const config::ObjectPtr& object, const config::ObjectPtr& stored, Draft& draft);
  Status ReplaceStatus(const config::ObjectPtr& object, const config::ObjectPtr& stored,
                       Draft& draft);
  StatusOr<config::ObjectPtr> WriteOne(Write write);

  const EmbeddedOptions options_;
  const std::unique_ptr<StoreFile> file_;
  ObjectTable table_;
};

}  // namespace meltemi::galley
