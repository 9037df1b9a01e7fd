// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/worker.h"

#include <pthread.h>

namespace meltemi::runtime {

StatusOr<std::unique_ptr<Worker>> Worker::Start(std::string name, size_t index,
                                                StreamEngine engine) {
  MELTEMI_ASSIGN_OR_RETURN(std::unique_ptr<Loop> loop, Loop::Create(engine));
  std::unique_ptr<Worker> worker(new Worker(std::move(name), index, std::move(loop)));
  worker->thread_ = std::thread([raw = worker.get()] { raw->loop_->Run(); });
  // The kernel takes 15 characters.
  pthread_setname_np(worker->thread_.native_handle(), worker->name_.substr(0, 15).c_str());
  return worker;
}

void Worker::RunAndWait(absl::AnyInvocable<void()> work) {
  std::promise<void> done;
  loop_->Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void Worker::StopAndJoin() {
  if (!thread_.joinable()) return;
  // Through the mailbox, so that work posted before still runs.
  loop_->Post([this] { loop_->Stop(); });
  thread_.join();
}

}  // namespace meltemi::runtime
