// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/worker.h"

#include <pthread.h>

namespace meltemi::runtime {

StatusOr<std::unique_ptr<Worker>> Worker::Start(std::string name, size_t index,
                                                StreamEngine engine) {
  std::unique_ptr<Worker> worker(new Worker(std::move(name), index));
  std::promise<Status> making;
  std::future<Status> made = making.get_future();
  // The loop is made on its own thread: when an io_uring ends, the kernel interrupts a blocking
  // call of the thread that made it.
  worker->thread_ = std::thread([raw = worker.get(), engine, making = std::move(making)]() mutable {
    StatusOr<std::unique_ptr<Loop>> loop = Loop::Create(engine);
    if (loop.ok()) raw->loop_ = *std::move(loop);
    making.set_value(loop.status());
    if (raw->loop_ != nullptr) raw->loop_->Run();
  });
  if (Status status = made.get(); !status.ok()) {
    worker->thread_.join();
    return status;
  }
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
