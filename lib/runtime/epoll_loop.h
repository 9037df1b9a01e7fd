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

class EpollLoop final : public Loop {
 public:
  EpollLoop(Fd epoll, Fd wake);
  ~EpollLoop() override;

  Status Watch(int fd, FdHandler* handler) override;
  void Unwatch(int fd, FdHandler* handler) override;
  void Rearm(int fd, FdHandler* handler) override;
  void Run() override;
  void RunOnce(Duration wait_max) override;
  void Stop() override;
  void Post(absl::AnyInvocable<void()> work) override;
  void Defer(Deferred* work) override;
  void DeferDelete(std::shared_ptr<void> object) override;
  MonotonicTime Now() const override { return now_; }

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

  int WaitMilliseconds(Duration wait_max) const;
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
  std::array<epoll_event, kEventsMax> events_;

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_;  // guarded by mutex_
};

}  // namespace meltemi::runtime
