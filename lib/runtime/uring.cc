// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/uring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::runtime {
namespace {

constexpr size_t kRingBytes = Uring::kBuffers * sizeof(io_uring_buf);
constexpr size_t kPoolBytes = size_t{Uring::kBuffers} * Uring::kBufferBytes;

char* Map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

__kernel_timespec Timespec(Duration wait) {
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count();
  return {.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
}

}  // namespace

StatusOr<std::unique_ptr<Uring>> Uring::Create() {
  std::unique_ptr<Uring> ring(new Uring);
  MELTEMI_RETURN_IF_ERROR(ring->Setup());
  return ring;
}

Status Uring::Setup() {
  io_uring_params params{};
  // Disabled until the worker's own thread enables it, which then is the single issuer.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  params.cq_entries = kCompletions;
  if (const int made = io_uring_queue_init_params(kSubmissions, &ring_, &params); made < 0) {
    return absl::ErrnoToStatus(-made, "io_uring_setup");
  }
  is_made_ = true;
  char* const ring = Map(kRingBytes);
  buffers_ = Map(kPoolBytes);
  if (ring == nullptr || buffers_ == nullptr) return absl::ErrnoToStatus(errno, "mmap");
  buffer_ring_ = reinterpret_cast<io_uring_buf_ring*>(ring);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring);
  registration.ring_entries = kBuffers;
  registration.bgid = kBufferGroup;
  if (const int done = io_uring_register_buf_ring(&ring_, &registration, 0); done < 0) {
    return absl::ErrnoToStatus(-done, "registering io_uring buffers");
  }
  io_uring_buf_ring_init(buffer_ring_);
  for (uint32_t id = 0; id < kBuffers; ++id) GiveBack(static_cast<uint16_t>(id));
  return absl::OkStatus();
}

Uring::~Uring() {
  if (is_made_) io_uring_queue_exit(&ring_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, kRingBytes);
  if (buffers_ != nullptr) munmap(buffers_, kPoolBytes);
}

void Uring::Enable() {
  if (std::exchange(is_enabled_, true)) return;
  // liburing 2.3 declares io_uring_enable_rings and does not export it.
  const long enabled =
      syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  MELTEMI_CHECK(enabled == 0);
  // Saves each call a look-up of the descriptor; no harm where it is refused.
  io_uring_register_ring_fd(&ring_);
}

io_uring_sqe* Uring::Entry() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr && Submit()) entry = io_uring_get_sqe(&ring_);
  return entry != nullptr ? entry : &nowhere_;
}

bool Uring::Submit() {
  Enable();
  return io_uring_submit(&ring_) > 0;
}

void Uring::SubmitAndWait(Duration wait_max) {
  Enable();
  // With a completion at hand liburing would only submit, and the kernel would not run what it put
  // off until it is asked for events: receives.
  if (wait_max <= Duration::zero() || io_uring_cq_ready(&ring_) > 0) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
  io_uring_cqe* first = nullptr;
  __kernel_timespec timespec;
  const bool is_bounded = wait_max != Duration::max();
  if (is_bounded) timespec = Timespec(wait_max);
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, is_bounded ? &timespec : nullptr, nullptr);
}

void Uring::TakeAll(std::vector<Completion>& to) {
  to.clear();
  for (;;) {
    unsigned head;
    unsigned count = 0;
    io_uring_cqe* completion;
    io_uring_for_each_cqe(&ring_, head, completion) {
      to.push_back({completion->user_data, completion->res, completion->flags});
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
    // What found no room waits in the kernel (io_uring_enter(2), IORING_FEAT_NODROP).
    if (!io_uring_cq_has_overflow(&ring_) || io_uring_get_events(&ring_) < 0) return;
  }
}

void Uring::Forget(int fd) {
  const io_uring_sq& queue = ring_.sq;
  for (unsigned at = *queue.khead; at != queue.sqe_tail; ++at) {
    io_uring_sqe* entry = &queue.sqes[at & (kSubmissions - 1)];
    if (entry->fd != fd) continue;
    const uint64_t user_data = entry->user_data;
    io_uring_prep_nop(entry);
    entry->flags = IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = user_data;
  }
}

void Uring::Receive(int fd, uint64_t user_data, bool is_empty) {
  io_uring_sqe* entry = Entry();
  io_uring_prep_recv(entry, fd, nullptr, kBufferBytes, 0);
  if (is_empty) entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = kBufferGroup;
  entry->user_data = user_data;
}

void Uring::GiveBack(uint16_t id) {
  io_uring_buf_ring_add(buffer_ring_, buffers_ + size_t{id} * kBufferBytes, kBufferBytes, id,
                        io_uring_buf_ring_mask(kBuffers), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

}  // namespace meltemi::runtime
