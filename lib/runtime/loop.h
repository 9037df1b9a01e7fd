// SPDX-License-Identifier: Apache-2.0
// The event loop: readiness of descriptors, timers, work posted from other threads, and a flush
// point.
//
// Owned by the thread that calls Run(); everything but Post() and Stop() belongs to that thread.
// One pass = wait once, dispatch every ready descriptor, run posted work, run due timers, run what
// was deferred. Invariants:
//  1. Descriptors are watched edge-triggered, for both directions, by one epoll_ctl for their
//  lifetime.
//  2. After Unwatch(fd) its handler gets no event, not even one already fetched in this pass.
//  3. Deferred work runs after all events of the pass: a connection that got ten writes sends once.
//  4. Now() is read once per pass.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace meltemi::runtime {

struct Ready {
  bool readable : 1;
  bool writable : 1;
  bool hung_up : 1;  // peer closed its half or the socket failed; read to learn which
};

class FdHandler {
 public:
  virtual void OnReady(Ready ready) = 0;

 protected:
  ~FdHandler() = default;
};

// Owner of a stream socket whose bytes move through the loop.
class StreamHandler : public FdHandler {
 public:
  // What a queued Send came to: bytes taken, or -errno. A short count or -EAGAIN, here or of a Send
  // that was not queued, is followed by a `writable` event once there is room.
  virtual void OnSent(ssize_t result) = 0;

 protected:
  ~StreamHandler() = default;
};

// How stream sockets are served.
enum class StreamEngine : uint8_t {
  kEpoll,  // readiness, then one system call for each read and write
  kUring,  // io_uring: the kernel delivers what came, sends of a pass leave in one system call
  kBest,   // io_uring where the kernel has and admits it, else epoll
};

// Whether io_uring queues a send, to leave with the call that waits. kByPace: while passes follow
// each other closely; else OnSent, which comes with the next pass, would be long in coming.
enum class SendQueueing : uint8_t { kByPace, kAlways, kNever };

// How a stream is served once it is watched.
enum class StreamUse : uint8_t {
  kConnected,
  kConnecting,  // the first event is `writable`, when connect(2) has ended
  kReadiness,   // told as by Watch; the owner makes its own system calls
};

// Intrusive entry of the loop's end-of-pass list; removes itself on destruction.
class Deferred {
 public:
  Deferred() = default;
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  bool is_deferred() const { return next_ != nullptr; }

 protected:
  virtual ~Deferred() { Unlink(); }
  virtual void RunDeferred() = 0;

 private:
  friend class Loop;
  friend class EpollLoop;
  void Unlink() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }
  Deferred* next_ = nullptr;
  Deferred* previous_ = nullptr;
};

class Timer;

class Loop {
 public:
  static StatusOr<std::unique_ptr<Loop>> Create(StreamEngine engine = StreamEngine::kEpoll,
                                                SendQueueing queueing = SendQueueing::kByPace);
  virtual ~Loop() = default;
  virtual StreamEngine stream_engine() const = 0;  // the one at work: never kBest

  virtual Status Watch(int fd, FdHandler* handler) = 0;
  virtual void Unwatch(int fd, FdHandler* handler) = 0;
  // Asks for a fresh event about what is ready now: for a reader that yields before the socket is
  // empty, so that others get their turn.
  virtual void Rearm(int fd, FdHandler* handler) = 0;

  // -- stream sockets. As Watch, but bytes are asked of the loop, which may hold what came already
  // and may queue what goes.
  virtual Status WatchStream(int fd, StreamHandler* handler, StreamUse use) = 0;
  // Call before the descriptor is closed. What was queued has been handed to the kernel; what a
  // full socket did not take is dropped.
  virtual void UnwatchStream(int fd, StreamHandler* handler) = 0;
  virtual void RearmStream(int fd, StreamHandler* handler) = 0;
  // As recv(2): bytes, 0 at the end of the stream, -errno. Fewer bytes than asked for means that
  // nothing is left; more is announced by an event.
  virtual ssize_t Receive(int fd, char* to, size_t bytes) = 0;
  // As send(2): bytes taken or -errno, then it is over; or nothing: `bytes` must stay where they
  // are until OnSent, and no further Send may be made before that. OnSent may come a while after
  // the bytes have gone, unless `is_awaited`: something is to follow them.
  virtual std::optional<ssize_t> Send(int fd, std::string_view bytes, bool is_awaited) = 0;
  // Results of queued sends are awaited after all.
  virtual void HurrySends() = 0;
  // For a stream that has failed, whose peer may have spoken before: true when Receive gives what
  // came as recv(2) would, from now on without events; false when that holds only after the next
  // `readable` event.
  virtual bool SettleStream(int fd, StreamHandler* handler) = 0;

  // Runs passes until Stop().
  virtual void Run() = 0;
  // One pass that waits `wait_max` at most; for tests and for loops driven by hand.
  virtual void RunOnce(Duration wait_max) = 0;
  // Thread-safe. Run() returns after the present pass.
  virtual void Stop() = 0;
  // Thread-safe. Runs `work` on the loop's thread, in order of posting.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;

  // Queues `work` for the end of this pass; a second call before it ran changes nothing.
  virtual void Defer(Deferred* work) = 0;
  // Frees `object` at the end of this pass: for objects that end inside their own callback.
  virtual void DeferDelete(std::shared_ptr<void> object) = 0;

  virtual MonotonicTime Now() const = 0;

 private:
  friend class Timer;
  virtual void Arm(Timer* timer) = 0;
  virtual void Disarm(Timer* timer) = 0;
};

// A one-shot timer on a loop; O(1) to arm, re-arm and disarm, no allocation. Resolution: 1 ms,
// never early. Destroying it disarms it. The callback may re-arm or destroy the timer.
class Timer final {
 public:
  Timer(Loop& loop, absl::AnyInvocable<void()> callback)
      : loop_(loop), callback_(std::move(callback)) {}
  ~Timer() {
    Disarm();
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void Arm(Duration after) {
    deadline_ = loop_.Now() + std::clamp(after, Duration::zero(), kAfterMax);
    loop_.Arm(this);
  }
  void Disarm() {
    if (is_armed()) loop_.Disarm(this);
  }
  bool is_armed() const { return slot_ >= 0; }
  MonotonicTime deadline() const { return deadline_; }

 private:
  friend class EpollLoop;
  friend class TimerWheel;
  static constexpr Duration kAfterMax = std::chrono::hours(24 * 3650);
  Loop& loop_;
  absl::AnyInvocable<void()> callback_;
  MonotonicTime deadline_{};
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  int32_t slot_ = -1;          // -1 = not armed
  bool* destroyed_ = nullptr;  // set while the callback runs, which may destroy the timer
};

}  // namespace meltemi::runtime
