// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "lib/base/fd.h"
#include "lib/runtime/signal.h"
#include "lib/runtime/snapshot.h"
#include "lib/runtime/timer_wheel.h"
#include "lib/runtime/worker.h"

namespace meltemi::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  Fd a, b;
};

class Handler final : public FdHandler {
 public:
  explicit Handler(std::function<void(Ready)> on_ready) : on_ready_(std::move(on_ready)) {}
  void OnReady(Ready ready) override { on_ready_(ready); }

 private:
  std::function<void(Ready)> on_ready_;
};

class Work final : public Deferred {
 public:
  explicit Work(std::function<void()> work) : work_(std::move(work)) {}

 private:
  void RunDeferred() override { work_(); }
  std::function<void()> work_;
};

// A loop that only holds a wheel: time moves when the test says so.
class WheelLoop final : public Loop {
 public:
  Status Watch(int, FdHandler*) override { return absl::OkStatus(); }
  void Unwatch(int, FdHandler*) override {}
  void Rearm(int, FdHandler*) override {}
  StreamEngine stream_engine() const override { return StreamEngine::kEpoll; }
  Status WatchStream(int, StreamHandler*, StreamUse) override { return absl::OkStatus(); }
  void UnwatchStream(int, StreamHandler*) override {}
  void RearmStream(int, StreamHandler*) override {}
  ssize_t Receive(int, char*, size_t) override { return 0; }
  std::optional<ssize_t> Send(int, std::string_view, bool) override { return 0; }
  void HurrySends() override {}
  bool SettleStream(int, StreamHandler*) override { return true; }
  void Run() override {}
  void RunOnce(Duration) override {}
  void Stop() override {}
  void Post(absl::AnyInvocable<void()>) override {}
  void Defer(Deferred*) override {}
  void DeferDelete(std::shared_ptr<void>) override {}
  MonotonicTime Now() const override { return now; }

  MonotonicTime now{hours(1)};
  TimerWheel wheel{now};

 private:
  void Arm(Timer* timer) override { wheel.Insert(timer); }
  void Disarm(Timer* timer) override { wheel.Remove(timer); }
};

TEST(TimerWheel, FiresEveryTimerOnceNeverEarlyAndWithinATick) {
  WheelLoop loop;
  std::mt19937_64 random(7);
  std::vector<std::unique_ptr<Timer>> timers;
  int fired = 0;
  Duration step{};
  for (int i = 0; i < 2000; ++i) {
    const size_t index = timers.size();
    timers.push_back(std::make_unique<Timer>(loop, [&, index] {
      ++fired;
      EXPECT_GE(loop.now, timers[index]->deadline());
      EXPECT_LT(loop.now, timers[index]->deadline() + milliseconds(1) + step);
    }));
    timers.back()->Arm(Duration(random() % (uint64_t{1} << (20 + i % 24))));
  }
  while (!loop.wheel.empty()) {
    const MonotonicTime next = loop.wheel.NextWake();
    ASSERT_GT(next, loop.now);
    step = next - loop.now > milliseconds(1) ? Duration{} : milliseconds(1);
    loop.now = next;
    loop.wheel.Advance(loop.now);
  }
  EXPECT_EQ(2000, fired);
}

TEST(TimerWheel, AJumpOfTimeFiresAllThatIsDue) {
  WheelLoop loop;
  int fired = 0;
  Timer soon(loop, [&] { ++fired; });
  Timer later(loop, [&] { ++fired; });
  Timer far(loop, [&] { ++fired; });
  soon.Arm(milliseconds(3));
  later.Arm(milliseconds(70'000));
  far.Arm(hours(1000));
  loop.now += hours(2);
  loop.wheel.Advance(loop.now);
  EXPECT_EQ(2, fired);
  EXPECT_TRUE(far.is_armed());
}

TEST(TimerWheel, CallbacksMayRearmDisarmAndDestroy) {
  WheelLoop loop;
  int first_runs = 0;
  std::optional<Timer> own;
  own.emplace(loop, [&] { own.reset(); });
  std::optional<Timer> victim;
  victim.emplace(loop, [] { FAIL() << "destroyed before its turn"; });
  Timer again(loop, [&] {
    if (++first_runs < 3) again.Arm(Duration::zero());
    victim.reset();
  });
  again.Arm(milliseconds(1));
  victim->Arm(milliseconds(1));
  own->Arm(milliseconds(2));
  for (int i = 0; i < 10; ++i) {
    loop.now += milliseconds(1);
    loop.wheel.Advance(loop.now);
    EXPECT_LE(first_runs, i + 1);  // re-armed with zero: a later pass, not a loop in this one
  }
  EXPECT_EQ(3, first_runs);
  EXPECT_FALSE(own.has_value());
}

TEST(TimerWheel, TakesAbsurdDurations) {
  WheelLoop loop;
  Timer timer(loop, [] {});
  timer.Arm(Duration::max());
  EXPECT_TRUE(timer.is_armed());
  timer.Arm(Duration::min());
  loop.now += milliseconds(1);
  loop.wheel.Advance(loop.now);
  EXPECT_FALSE(timer.is_armed());
}

TEST(EpollLoop, AnUnwatchedDescriptorGetsNoEventOfThisPass) {
  auto loop = *Loop::Create();
  Pair one, two;
  int events = 0;
  std::optional<Handler> first, second;
  const auto unwatch_both = [&](Ready) {
    ++events;
    loop->Unwatch(one.a.get(), &*first);
    loop->Unwatch(two.a.get(), &*second);
  };
  first.emplace(unwatch_both);
  second.emplace(unwatch_both);
  ASSERT_TRUE(loop->Watch(one.a.get(), &*first).ok());
  ASSERT_TRUE(loop->Watch(two.a.get(), &*second).ok());
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ(1, events);
}

TEST(EpollLoop, AReusedDescriptorDoesNotGetItsPredecessorsEvent) {
  auto loop = *Loop::Create();
  Pair one, two;
  int stale = 0;
  Handler fresh([&](Ready ready) { stale += ready.readable; });
  std::optional<Handler> first, second;
  bool is_done = false;
  const auto replace = [&](Pair& other, Handler& handler) {
    if (std::exchange(is_done, true)) return;
    const int number = other.a.get();
    loop->Unwatch(number, &handler);
    int fds[2];
    ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    ASSERT_EQ(number, dup2(fds[0], number));
    close(fds[0]);
    ASSERT_TRUE(loop->Watch(number, &fresh).ok());
    close(fds[1]);
    loop->Unwatch(number, &fresh);
  };
  first.emplace([&](Ready) { replace(two, *second); });
  second.emplace([&](Ready) { replace(one, *first); });
  ASSERT_EQ(1, write(one.b.get(), "x", 1));
  ASSERT_EQ(1, write(two.b.get(), "x", 1));
  ASSERT_TRUE(loop->Watch(one.a.get(), &*first).ok());
  ASSERT_TRUE(loop->Watch(two.a.get(), &*second).ok());
  loop->RunOnce(milliseconds(100));
  EXPECT_TRUE(is_done);
  EXPECT_EQ(0, stale);
}

TEST(EpollLoop, DeferredWorkRunsOnceAfterEventsAndMayDeferMore) {
  auto loop = *Loop::Create();
  std::string order;
  Work second([&] { order += "2"; });
  Work first([&] {
    order += "1";
    loop->Defer(&second);
  });
  auto dropped = std::make_unique<Work>([&] { order += "never"; });
  loop->Post([&] {
    loop->Defer(&first);
    loop->Defer(&first);
    loop->Defer(dropped.get());
    dropped.reset();
    loop->DeferDelete(std::shared_ptr<void>(nullptr, [&](void*) { order += "d"; }));
    order += "p";
  });
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ("p12d", order);
}

TEST(EpollLoop, RearmTellsAgainWhatIsReady) {
  auto loop = *Loop::Create();
  Pair pair;
  int readable = 0;
  Handler handler([&](Ready ready) { readable += ready.readable; });
  ASSERT_EQ(1, write(pair.b.get(), "x", 1));
  ASSERT_TRUE(loop->Watch(pair.a.get(), &handler).ok());
  loop->RunOnce(milliseconds(100));
  loop->RunOnce(Duration::zero());
  EXPECT_EQ(1, readable);
  loop->Rearm(pair.a.get(), &handler);
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ(2, readable);
  loop->Unwatch(pair.a.get(), &handler);
}

TEST(EpollLoop, WaitsForTheNextTimer) {
  auto loop = *Loop::Create();
  bool fired = false;
  Timer timer(*loop, [&] {
    fired = true;
    loop->Stop();
  });
  timer.Arm(milliseconds(5));
  const MonotonicTime before = RealClock().Monotonic();
  loop->Run();
  EXPECT_TRUE(fired);
  EXPECT_GE(RealClock().Monotonic() - before, milliseconds(5));
}

TEST(Worker, RunsPostedWorkInOrderFromSeveralThreads) {
  auto worker = *Worker::Start("test-worker");
  std::vector<int> seen;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) worker->Post([&seen, t, i] { seen.push_back(t * 1000 + i); });
    });
  }
  for (auto& thread : threads) thread.join();
  worker->StopAndJoin();
  ASSERT_EQ(3000u, seen.size());
  int last[3] = {-1, -1, -1};
  for (const int value : seen) {
    EXPECT_GT(value % 1000, last[value / 1000]);
    last[value / 1000] = value % 1000;
  }
}

struct Config {
  int value;
  std::thread::id* destroyed_on;
  ~Config() { *destroyed_on = std::this_thread::get_id(); }
};

TEST(SnapshotSlots, WorkersAdoptAndTheControlThreadDestroys) {
  std::thread::id destroyed_on[2];
  auto control = *Loop::Create();
  auto a = *Worker::Start("a", 0);
  auto b = *Worker::Start("b", 1);
  SnapshotSlots<Config> slots(*control, {&a->loop(), &b->loop()});
  std::shared_ptr<const Config> stream;  // one stream on worker b keeps the first snapshot
  int adopted = 0;
  slots.Publish(std::make_shared<const Config>(1, &destroyed_on[0]), [&] { ++adopted; });
  while (adopted < 1) control->RunOnce(std::chrono::seconds(5));
  b->RunAndWait([&] { stream = slots.Get(1); });
  slots.Publish(std::make_shared<const Config>(2, &destroyed_on[1]), [&] { ++adopted; });
  while (adopted < 2) control->RunOnce(std::chrono::seconds(5));
  a->RunAndWait([&] { EXPECT_EQ(2, slots.Get(0)->value); });
  EXPECT_EQ(1, stream->value);
  EXPECT_EQ(std::thread::id(), destroyed_on[0]);
  b->RunAndWait([&] { stream.reset(); });
  while (destroyed_on[0] == std::thread::id()) control->RunOnce(std::chrono::seconds(5));
  EXPECT_EQ(std::this_thread::get_id(), destroyed_on[0]);
  a->RunAndWait([&] { slots.Release(0); });
  b->RunAndWait([&] { slots.Release(1); });
}

TEST(SignalWatcher, TellsSignalsOnTheLoop) {
  auto loop = *Loop::Create();
  int seen = 0;
  auto watcher = *SignalWatcher::Create(*loop, {SIGUSR1}, [&](int signal) { seen = signal; });
  ASSERT_EQ(0, raise(SIGUSR1));
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ(SIGUSR1, seen);
}

}  // namespace
}  // namespace meltemi::runtime
