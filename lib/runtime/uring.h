// SPDX-License-Identifier: Apache-2.0
// io_uring as the loop uses it: a ring, and buffers that the kernel fills with what sockets
// receive (io_uring(7), "provided buffer rings"). Belongs to the thread that submits.
#pragma once

#include <liburing.h>

#include <memory>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace meltemi::runtime {

class Uring final {
 public:
  struct Completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
  };
  static constexpr uint32_t kSubmissions = 512;
  // Touched in turn, so that a small ring stays small in memory; more than this waits in the
  // kernel.
  static constexpr uint32_t kCompletions = 1024;
  // A request or a response of usual size fits one. Memory is touched on first use only.
  static constexpr uint32_t kBuffers = 128;
  static constexpr uint32_t kBufferBytes = 4 * 1024;

  // Fails where the kernel lacks something (it takes 6.1) or forbids it, as containers often do.
  static StatusOr<std::unique_ptr<Uring>> Create();
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // On the thread that is to submit, before its first submission.
  void Enable();
  // A fresh entry; submits what is queued when the queue is full. On a thread that may not submit
  // (connections that end after their worker) the entry goes nowhere.
  io_uring_sqe* Entry();
  bool has_room() const { return io_uring_sq_space_left(&ring_) > 0; }
  bool has_unsubmitted() const { return io_uring_sq_ready(&ring_) > 0; }
  // False when the kernel took nothing.
  bool Submit();
  // Submits, then waits for one completion or for `wait_max` (Duration::max(): for ever).
  void SubmitAndWait(Duration wait_max);
  // Replaces `to` by all completions there are, in order, those too that the ring had no room for.
  void TakeAll(std::vector<Completion>& to);
  // Makes unsubmitted entries that name the descriptor do nothing.
  void Forget(int fd);

  // One receive into whichever buffer is free when bytes come. `is_empty`: the socket is known to
  // hold none now, so the kernel need not look.
  void Receive(int fd, uint64_t user_data, bool is_empty);
  const char* buffer(uint16_t id) const { return buffers_ + size_t{id} * kBufferBytes; }
  void GiveBack(uint16_t id);

 private:
  Uring() = default;
  Status Setup();

  static constexpr int kBufferGroup = 0;
  io_uring ring_{};
  io_uring_sqe nowhere_{};
  bool is_made_ = false;
  bool is_enabled_ = false;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  char* buffers_ = nullptr;
};

}  // namespace meltemi::runtime
