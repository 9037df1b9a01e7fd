// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/epoll_loop.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "lib/base/check.h"
#include "lib/runtime/uring_loop.h"

namespace meltemi::runtime {

namespace {

epoll_event EventFor(int fd, uint32_t generation) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
  return event;
}

int Milliseconds(Duration wait) {
  if (wait == Duration::max()) return -1;
  if (wait <= Duration::zero()) return 0;
  constexpr Duration kMillisecond = std::chrono::milliseconds(1);
  const auto milliseconds = wait / kMillisecond + (wait % kMillisecond != Duration::zero());
  return static_cast<int>(std::min<int64_t>(milliseconds, std::numeric_limits<int>::max()));
}

}  // namespace

StatusOr<std::unique_ptr<Loop>> Loop::Create(StreamEngine engine, SendQueueing queueing) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return absl::ErrnoToStatus(errno, "epoll_create1");
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = ~uint64_t{0};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return absl::ErrnoToStatus(errno, "epoll_ctl");
  }
  if (engine != StreamEngine::kEpoll) {
    StatusOr<std::unique_ptr<Uring>> ring = Uring::Create();
    if (ring.ok()) {
      return std::make_unique<UringLoop>(std::move(epoll), std::move(wake), *std::move(ring),
                                         queueing);
    }
    if (engine == StreamEngine::kUring) return ring.status();
  }
  return std::make_unique<EpollLoop>(std::move(epoll), std::move(wake));
}

EpollLoop::EpollLoop(Fd epoll, Fd wake)
    : epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      now_(RealClock().Monotonic()),
      timers_(now_) {
  deferred_.next_ = deferred_.previous_ = &deferred_;
}

EpollLoop::~EpollLoop() {
  // Work may own objects with timers, deferred entries or watched descriptors of this loop: end it
  // while the loop's parts still stand.
  RunDeferredWork();
  {
    std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  running_.clear();
  while (deferred_.next_ != &deferred_) deferred_.next_->Unlink();
  deleted_.clear();
}

Status EpollLoop::Watch(int fd, FdHandler* handler) {
  if (fd < 0) return absl::InvalidArgumentError("cannot watch a closed descriptor");
  if (static_cast<size_t>(fd) >= watched_.size()) watched_.resize(fd + 1 + fd / 2);
  Watched& entry = watched_[fd];
  MELTEMI_CHECK(entry.handler == nullptr);
  epoll_event event = EventFor(fd, ++entry.generation);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    return absl::ErrnoToStatus(error, ToAbsl(fmt::format("watching descriptor {}", fd)));
  }
  entry.handler = handler;
  return absl::OkStatus();
}

void EpollLoop::Unwatch(int fd, FdHandler* handler) {
  if (fd < 0 || static_cast<size_t>(fd) >= watched_.size()) return;
  Watched& entry = watched_[fd];
  if (entry.handler != handler) return;
  entry.handler = nullptr;
  ++entry.generation;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EpollLoop::Rearm(int fd, FdHandler* handler) {
  if (fd < 0 || static_cast<size_t>(fd) >= watched_.size()) return;
  const Watched& entry = watched_[fd];
  if (entry.handler != handler) return;
  epoll_event event = EventFor(fd, entry.generation);
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EpollLoop::Run() {
  while (!TakeStop()) RunOnce(Duration::max());
}

Duration EpollLoop::WaitFor(Duration wait_max) const {
  // Deferred between two passes, by whoever drives the loop.
  if (deferred_.next_ != &deferred_) return Duration::zero();
  if (timers_.empty()) return wait_max;
  // The clock, not now_: the pass took time of its own.
  const Duration wait = timers_.NextWake() - RealClock().Monotonic();
  return std::min(wait_max, std::max(wait, Duration::zero()));
}

void EpollLoop::RunOnce(Duration wait_max) {
  DispatchReady(Milliseconds(WaitFor(wait_max)));
  EndPass();
}

bool EpollLoop::DispatchReady(int milliseconds) {
  const int count = epoll_wait(epoll_.get(), events_.data(), kEventsMax, milliseconds);
  ReadClock();
  for (int i = 0; i < count; ++i) {
    if (events_[i].data.u64 == kWakeData) {
      is_woken_ = true;
    } else {
      Dispatch(events_[i]);
    }
  }
  return count < kEventsMax;
}

void EpollLoop::EndPass() {
  if (std::exchange(is_woken_, false)) RunPosted();
  timers_.Advance(now_);
  RunDeferredWork();
}

Status EpollLoop::WatchStream(int fd, StreamHandler* handler, StreamUse) {
  return Watch(fd, handler);
}

ssize_t EpollLoop::Receive(int fd, char* to, size_t bytes) {
  for (;;) {
    const ssize_t count = recv(fd, to, bytes, 0);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

std::optional<ssize_t> EpollLoop::Send(int fd, std::string_view bytes, bool) {
  for (;;) {
    const ssize_t count = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

void EpollLoop::Dispatch(const epoll_event& event) {
  const auto fd = static_cast<uint32_t>(event.data.u64);
  const Watched& entry = watched_[fd];
  if (entry.handler == nullptr || entry.generation != event.data.u64 >> 32) return;
  entry.handler->OnReady(ReadyOf(event.events));
}

Ready EpollLoop::ReadyOf(uint32_t events) {
  return {.readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
          .writable = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
          .hung_up = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0};
}

void EpollLoop::RunPosted() {
  {
    std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  for (auto& work : running_) {
    work();
    work = nullptr;
  }
  running_.clear();
}

void EpollLoop::RunDeferredWork() {
  while (deferred_.next_ != &deferred_ || !deleted_.empty()) {
    while (deferred_.next_ != &deferred_) {
      Deferred* work = deferred_.next_;
      work->Unlink();
      work->RunDeferred();
    }
    // One at a time: a destructor may defer more.
    while (!deleted_.empty()) {
      const std::shared_ptr<void> object = std::move(deleted_.back());
      deleted_.pop_back();
    }
  }
}

void EpollLoop::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void EpollLoop::Stop() {
  stopped_.store(true, std::memory_order_release);
  Wake();
}

void EpollLoop::Post(absl::AnyInvocable<void()> work) {
  bool was_empty;
  {
    std::lock_guard lock(mutex_);
    was_empty = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (was_empty) Wake();
}

void EpollLoop::Defer(Deferred* work) {
  if (work->is_deferred()) return;
  work->previous_ = deferred_.previous_;
  work->next_ = &deferred_;
  deferred_.previous_->next_ = work;
  deferred_.previous_ = work;
}

void EpollLoop::DeferDelete(std::shared_ptr<void> object) {
  deleted_.push_back(std::move(object));
}

}  // namespace meltemi::runtime
