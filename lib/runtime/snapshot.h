// SPDX-License-Identifier: Apache-2.0
// Hands immutable snapshots from the control thread to all workers.
//
// Each worker reads its own slot, on its own cache line, without atomics. A stream that must keep
// the snapshot it began with copies the slot's pointer: its reference count belongs to this worker
// alone, so the count never travels between cores. When the last copy on a worker goes, the
// reference it stood for is returned to the control thread, where a retired snapshot is destroyed.
// The control loop, the workers' loops and this object outlive every copy.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "lib/runtime/loop.h"

namespace meltemi::runtime {

template <typename T>
class SnapshotSlots final {
 public:
  using Pointer = std::shared_ptr<const T>;

  // `workers` = the workers' loops, by index.
  SnapshotSlots(Loop& control, std::vector<Loop*> workers)
      : control_(control), workers_(std::move(workers)), slots_(workers_.size()) {}

  // Control thread. `adopted` runs there once every worker's slot holds `snapshot` or a later one.
  void Publish(Pointer snapshot, absl::AnyInvocable<void()> adopted = nullptr) {
    latest_ = snapshot;
    auto round = std::make_shared<Round>(Round{workers_.size(), std::move(adopted)});
    if (workers_.empty()) {
      control_.Post([round] { round->Finish(); });
      return;
    }
    for (size_t i = 0; i < workers_.size(); ++i) {
      workers_[i]->Post([this, i, local = LocalReference(snapshot), round]() mutable {
        slots_[i].pointer = std::move(local);
        control_.Post([round = std::move(round)] {
          if (--round->waiting == 0) round->Finish();
        });
      });
    }
  }
  // Control thread.
  const Pointer& latest() const { return latest_; }
  // The worker's own thread; null before the first snapshot came.
  const Pointer& Get(size_t worker) const { return slots_[worker].pointer; }
  // The worker's own thread, before its end: lets go of the snapshot.
  void Release(size_t worker) { slots_[worker].pointer.reset(); }

 private:
  struct alignas(64) Slot {
    Pointer pointer;
  };
  struct Round {
    size_t waiting;
    absl::AnyInvocable<void()> adopted;
    void Finish() {
      if (adopted) adopted();
    }
  };

  Pointer LocalReference(const Pointer& snapshot) {
    const T* raw = snapshot.get();
    return Pointer(raw, [this, kept = snapshot](const T*) mutable {
      control_.Post([returned = std::move(kept)] {});
    });
  }

  Loop& control_;
  const std::vector<Loop*> workers_;
  Pointer latest_;
  std::vector<Slot> slots_;
};

}  // namespace meltemi::runtime
