// SPDX-License-Identifier: Apache-2.0
// Loop on epoll. One epoll_wait per pass, nothing allocated per event.
// Handlers stand in a table indexed by descriptor; each entry has a generation that travels with
// the event, so an event fetched for a descriptor that was closed and reused meanwhile finds no
// handler.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "lib/base/fd.h"
#include "lib/runtime/loop.h"
#include "lib/runtime/timer_wheel.h"

namespace meltemi::runtime {

class EpollLoop : public Loop {
 public:
  EpollLoop(Fd epoll, Fd wake);
  ~EpollLoop() override;

  Status Watch(int fd, FdHandler* handler) override;
  void Unwatch(int fd, FdHandler* handler) override;
  void Rearm(int fd, FdHandler* handler) override;
  StreamEngine stream_engine() const override { return StreamEngine::kEpoll; }
  Status WatchStream(int fd, StreamHandler* handler, StreamUse use) override;
  void UnwatchStream(int fd, StreamHandler* handler) override { Unwatch(fd, handler); }
  void RearmStream(int fd, StreamHandler* handler) override { Rearm(fd, handler); }
  ssize_t Receive(int fd, char* to, size_t bytes) override;
  std::optional<ssize_t> Send(int fd, std::string_view bytes, bool is_awaited) override;
  void HurrySends() override {}
  bool SettleStream(int, StreamHandler*) override { return true; }
  void Run() override;
  void RunOnce(Duration wait_max) override;
  void Stop() override;
  void Post(absl::AnyInvocable<void()> work) override;
  void Defer(Deferred* work) override;
  void DeferDelete(std::shared_ptr<void> object) override;
  MonotonicTime Now() const override { return now_; }

 protected:
  int epoll_fd() const { return epoll_.get(); }
  // What to wait for at most: `wait_max`, the next timer, nothing at all where work is left.
  Duration WaitFor(Duration wait_max) const;
  // Dispatches ready descriptors, after waiting `milliseconds` at most for the first. False when
  // more may be ready than one call tells.
  bool DispatchReady(int milliseconds);
  static Ready ReadyOf(uint32_t events);  // EPOLL…, whose numbers are POLL…'s
  // The rest of a pass, after its events.
  void EndPass();
  // True once after each Stop().
  bool TakeStop() { return stopped_.load(std::memory_order_acquire) && stopped_.exchange(false); }
  void ReadClock() { now_ = RealClock().Monotonic(); }

 private:
  static constexpr int kEventsMax = 256;
  static constexpr uint64_t kWakeData = ~uint64_t{0};

  struct Watched {
    FdHandler* handler = nullptr;
    uint32_t generation = 0;
  };
  class DeferredHead final : public Deferred {
   private:
    void RunDeferred() override {}
  };

  void Arm(Timer* timer) override { timers_.Insert(timer); }
  void Disarm(Timer* timer) override { timers_.Remove(timer); }

  void Dispatch(const epoll_event& event);
  void RunPosted();
  void RunDeferredWork();
  void Wake();

  const Fd epoll_;
  const Fd wake_;  // eventfd, never read: each write is an edge of its own
  MonotonicTime now_;
  TimerWheel timers_;
  std::vector<Watched> watched_;  // by descriptor
  DeferredHead deferred_;
  std::vector<std::shared_ptr<void>> deleted_;
  std::vector<absl::AnyInvocable<void()>> running_;
  bool is_woken_ = false;
  std::array<epoll_event, kEventsMax> events_;

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_;  // guarded by mutex_
};

}  // namespace meltemi::runtime
