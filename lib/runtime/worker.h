// SPDX-License-Identifier: Apache-2.0
// A named thread that owns a loop and a pool of blocks. Made and ended by the control thread.
// What lives on the worker is made and destroyed there: post it to loop().
#pragma once

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "lib/runtime/block_pool.h"
#include "lib/runtime/loop.h"

namespace meltemi::runtime {

class Worker final {
 public:
  // The thread runs its loop when this returns. `index` counts workers from zero.
  static StatusOr<std::unique_ptr<Worker>> Start(std::string name, size_t index = 0,
                                                 StreamEngine engine = StreamEngine::kEpoll);
  ~Worker() { StopAndJoin(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Loop& loop() { return *loop_; }
  BlockPool& pool() { return pool_; }  // the worker's thread only
  const std::string& name() const { return name_; }
  size_t index() const { return index_; }

  void Post(absl::AnyInvocable<void()> work) { loop_->Post(std::move(work)); }
  // Runs `work` on the worker and waits for its end. Never from the worker itself.
  void RunAndWait(absl::AnyInvocable<void()> work);
  // Ends the thread after its present pass; what was posted before has run. Idempotent.
  void StopAndJoin();

 private:
  Worker(std::string name, size_t index) : name_(std::move(name)), index_(index) {}

  const std::string name_;
  const size_t index_;
  BlockPool pool_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace meltemi::runtime
