// SPDX-License-Identifier: Apache-2.0
// Lifecycles of real sandboxes with a small proxy (host/testing/fake_proxy.py) and shell apps.
#include "host/workload/workload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace meltemi::host {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

std::string Content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class WorkloadTest : public ::testing::Test {
 protected:
  WorkloadTest() : loop_(*runtime::Loop::Create()) {
    std::string name = ::testing::TempDir() + "/workload-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~WorkloadTest() override {
    workload_.reset();
    std::filesystem::remove_all(folder_);
  }

  WorkloadSpec Spec(const std::string& script) const {
    WorkloadSpec spec;
    spec.name = "app-1";
    // Test programs may run side by side: an address from the process id.
    spec.ip = fmt::format("127.77.{}.{}", 200 + ::getpid() / 250 % 50, 1 + ::getpid() % 250);
    spec.directory = folder_;
    spec.app = {{"sh", "-c", script}, {"PATH=/usr/bin:/bin", "GREETING=hello"}, "/"};
    spec.proxy = {
        {"python3", "host/testing/fake_proxy.py", "sidecar", "--ip", spec.ip, "--gate", gate()},
        {"PATH=/usr/bin:/bin"},
        std::filesystem::current_path()};
    return spec;
  }
  void Start(WorkloadSpec spec) {
    workload_ = std::make_unique<Workload>(*loop_, std::move(spec),
                                           [this](const WorkloadState& state) { seen_ = state; });
    const Status status = workload_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string gate() const { return folder_ + "/gate"; }
  void OpenGate() const { std::ofstream(gate()) << "open"; }
  bool Until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_->RunOnce(std::chrono::milliseconds(5));
    }
    return true;
  }
  bool Said(const std::string& text) {
    return Until([&] { return Content(workload_->app_log()).find(text) != std::string::npos; });
  }
  bool ProxySaid(const std::string& text) {
    return Until([&] { return Content(workload_->proxy_log()).find(text) != std::string::npos; });
  }

  std::unique_ptr<runtime::Loop> loop_;
  std::string folder_;
  std::unique_ptr<Workload> workload_;
  WorkloadState seen_;
};

TEST_F(WorkloadTest, AppStartsWhenItsProxyIsReady) {
  Start(Spec("echo app up; exec sleep 1000"));
  ASSERT_TRUE(ProxySaid("proxy up"));
  ASSERT_TRUE(Until([&] { return seen_.phase == Phase::kAwaitingProxy; }));
  EXPECT_FALSE(seen_.is_app_running);
  EXPECT_EQ(Content(workload_->app_log()), "");
  OpenGate();
  EXPECT_TRUE(Said("app up"));
  EXPECT_TRUE(Until([&] { return seen_.is_ready; }));
}

TEST_F(WorkloadTest, ProxyThatIsKilledComesBackAndItsAppIsLeftAlone) {
  OpenGate();
  // The app asks through the proxy, once at the start and once when told.
  Start(Spec(
      "echo pid $$; python3 -uc \"\n"
      "import os, socket, time\n"
      "def ask(): print(socket.create_connection(('198.51.100.7', 80), 15).recv(50).decode())\n"
      "ask()\n"
      "while not os.path.exists('" +
      folder_ +
      "/again'): time.sleep(0.005)\n"
      "ask(); time.sleep(1000)\""));
  ASSERT_TRUE(Said("198.51.100.7:80\n"));
  const std::string before = Content(workload_->app_log());
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  // Kill it; then the app connects while nobody accepts.
  ASSERT_EQ(::kill(workload_->proxy_pid(), SIGKILL), 0);
  std::ofstream(folder_ + "/again") << "now";
  ASSERT_TRUE(Until([&] { return seen_.proxy_restarts == 1; }));
  EXPECT_FALSE(seen_.is_ready);
  EXPECT_NE(seen_.message.find("signal 9"), std::string::npos) << seen_.message;
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  EXPECT_TRUE(Said(before + "198.51.100.7:80"));
  EXPECT_EQ(seen_.app_restarts, 0);
}

TEST_F(WorkloadTest, AppThatEndsIsStartedAgainAndItsProxyIsLeftAlone) {
  OpenGate();
  Start(Spec("echo run; [ -e " + folder_ + "/second ] && exec sleep 1000; touch " + folder_ +
             "/second; exit 3"));
  ASSERT_TRUE(Until([&] { return seen_.app_restarts == 1; }));
  EXPECT_EQ(seen_.app_ending.code, 3);
  EXPECT_NE(seen_.message.find("exit status 3"), std::string::npos);
  EXPECT_TRUE(Said("run\nmeltemi: the app ended with exit status 3\nrun\n"));
  EXPECT_TRUE(Until([&] { return seen_.is_ready; }));
  EXPECT_EQ(seen_.proxy_restarts, 0);
}

TEST_F(WorkloadTest, AppThatMayEndTakesItsProxyAlong) {
  OpenGate();
  WorkloadSpec spec = Spec("exit 5");
  spec.restart = RestartPolicy::kNever;
  Start(std::move(spec));
  ASSERT_TRUE(Until([&] { return seen_.phase == Phase::kEnded; }));
  EXPECT_EQ(seen_.app_ending.code, 5);
  EXPECT_TRUE(ProxySaid("drained"));
}

TEST_F(WorkloadTest, StopDrainsTheProxyBeforeTheAppIsTold) {
  OpenGate();
  std::ofstream(gate() + ".drain") << "hold";
  WorkloadSpec spec = Spec("trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.01; done");
  spec.drain_max = kPatience;
  Start(std::move(spec));
  ASSERT_TRUE(Said("up"));
  workload_->Stop();
  ASSERT_TRUE(ProxySaid("draining"));
  EXPECT_EQ(seen_.phase, Phase::kDraining);
  EXPECT_FALSE(seen_.is_ready);
  EXPECT_EQ(Content(workload_->app_log()).find("told"), std::string::npos);
  std::filesystem::remove(gate() + ".drain");
  ASSERT_TRUE(Until([&] { return seen_.phase == Phase::kEnded; }));
  EXPECT_TRUE(Said("told"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/sandbox"));
}

TEST_F(WorkloadTest, StopEndsWithinItsDeadlines) {
  OpenGate();
  std::ofstream(gate() + ".drain") << "hold for ever";
  WorkloadSpec spec = Spec("trap '' TERM; echo up; while :; do sleep 0.01; done");
  spec.drain_max = spec.stop_max = std::chrono::milliseconds(50);
  Start(std::move(spec));
  ASSERT_TRUE(Said("up"));
  workload_->Stop();
  EXPECT_TRUE(Until([&] { return seen_.phase == Phase::kEnded; }));
}

TEST_F(WorkloadTest, SandboxThatIsKilledIsMadeAgain) {
  OpenGate();
  Start(Spec("echo up; exec sleep 1000"));
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  ASSERT_EQ(::kill(workload_->sandbox_pid(), SIGKILL), 0);
  ASSERT_TRUE(Until([&] { return !seen_.is_ready; }));
  EXPECT_TRUE(Until([&] { return seen_.is_ready; }));
}

TEST_F(WorkloadTest, ReadinessFollowsTheAppsProbe) {
  OpenGate();
  WorkloadSpec spec = Spec("cd " + folder_ + "; touch health; exec python3 -m http.server 8000");
  spec.readiness = {.kind = ProbeKind::kHttp,
                    .port = 8000,
                    .path = "/health",
                    .period = std::chrono::milliseconds(10),
                    .failure_threshold = 2};
  Start(std::move(spec));
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  std::filesystem::remove(folder_ + "/health");
  ASSERT_TRUE(Until([&] { return !seen_.is_ready; }));
  EXPECT_NE(seen_.message.find("status 404"), std::string::npos) << seen_.message;
  EXPECT_EQ(seen_.app_restarts, 0);
}

TEST_F(WorkloadTest, AppWithoutAProbeIsReadyOnceItsPortOpensAndStaysSo) {
  OpenGate();
  WorkloadSpec spec = Spec("while ! test -e " + folder_ +
                           "/open; do sleep 0.01; done; python3 -m http.server 8000 & server=$!; "
                           "while ! test -e " +
                           folder_ +
                           "/close; do sleep 0.01; done; "
                           "kill $server; wait $server; echo closed; exec sleep 1000");
  spec.readiness = {.kind = ProbeKind::kTcp,
                    .port = 8000,
                    .period = std::chrono::milliseconds(10),
                    .failure_threshold = 100'000,
                    .is_once = true};
  Start(std::move(spec));
  ASSERT_TRUE(Until([&] { return seen_.is_app_running; }));
  EXPECT_FALSE(seen_.is_ready);
  std::ofstream(folder_ + "/open") << "now";
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  std::ofstream(folder_ + "/close") << "now";
  ASSERT_TRUE(Said("closed"));
  EXPECT_TRUE(seen_.is_ready);
}

TEST_F(WorkloadTest, AppWithoutAProbeThatNeverOpensItsPortIsReadyInTheEnd) {
  OpenGate();
  WorkloadSpec spec = Spec("exec sleep 1000");
  spec.readiness = {.kind = ProbeKind::kTcp,
                    .port = 8000,
                    .period = std::chrono::milliseconds(5),
                    .failure_threshold = 3,
                    .is_once = true};
  Start(std::move(spec));
  EXPECT_TRUE(Until([&] { return seen_.is_ready; }));
}

TEST_F(WorkloadTest, AppThatFailsItsLivenessProbeIsStartedAgain) {
  OpenGate();
  WorkloadSpec spec = Spec("touch " + folder_ + "/alive; echo run; exec sleep 1000");
  spec.liveness = {.kind = ProbeKind::kExec,
                   .command = {"test", "-e", folder_ + "/alive"},
                   .period = std::chrono::milliseconds(10)};
  Start(std::move(spec));
  ASSERT_TRUE(Said("run"));
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  std::filesystem::remove(folder_ + "/alive");
  ASSERT_TRUE(Until([&] { return seen_.app_restarts == 1; }));
  EXPECT_TRUE(Said("the app is not healthy (exit status 1)"));
}

TEST_F(WorkloadTest, ExecRunsInsideAndGivesItsExitCode) {
  OpenGate();
  Start(Spec("exec sleep 1000"));
  ASSERT_TRUE(Until([&] { return seen_.is_ready; }));
  const std::string out = folder_ + "/out";
  const Fd file(::open(out.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  Ending ending{-1, -1};
  uint32_t id = 0;
  ASSERT_TRUE(workload_
                  ->Exec(
                      {{"sh", "-c", "uname -n; echo $GREETING; exit 9"}, {}, "/"}, file.get(),
                      file.get(), file.get(), [&](Ending e) { ending = e; }, &id)
                  .ok());
  ASSERT_TRUE(Until([&] { return ending.code != -1; }));
  EXPECT_EQ(ending.code, 9);
  EXPECT_EQ(Content(out), "app-1\nhello\n");
  ending = {-1, -1};
  ASSERT_TRUE(workload_
                  ->Exec(
                      {{"no-such-program"}, {}, "/"}, file.get(), file.get(), file.get(),
                      [&](Ending e) { ending = e; }, &id)
                  .ok());
  ASSERT_TRUE(Until([&] { return ending.code != -1; }));
  EXPECT_EQ(ending.code, 127);
}

TEST_F(WorkloadTest, ACommandThatCannotStartSaysWhatToDo) {
  OpenGate();
  WorkloadSpec spec = Spec("");
  spec.app.argv = {"no-such-app"};
  Start(std::move(spec));
  ASSERT_TRUE(Until([&] { return seen_.message.find("image map") != std::string::npos; }));
  EXPECT_FALSE(seen_.is_ready);
}

TEST(LogFileTest, IsBoundedByRotation) {
  const auto loop = *runtime::Loop::Create();
  std::string name = ::testing::TempDir() + "/log-XXXXXX";
  const std::string folder = ::mkdtemp(name.data());
  {
    auto log = LogFile::Open(*loop, folder + "/app.log", 1000);
    ASSERT_TRUE(log.ok()) << log.status();
    for (int i = 0; i < 100; ++i) (*log)->Note(std::string(91, 'x'));
    EXPECT_LE(std::filesystem::file_size(folder + "/app.log"), 1000u);
    EXPECT_LE(std::filesystem::file_size(folder + "/app.log.1"), 1000u);
  }
  std::filesystem::remove_all(folder);
}

TEST(BackoffTest, DoublesToItsBoundAndForgets) {
  Backoff backoff;
  const MonotonicTime start{};
  Duration last{};
  for (int i = 0; i < 10; ++i) last = backoff.Next(start, start);
  EXPECT_EQ(last, kBackoffMax);
  EXPECT_EQ(backoff.Next(start, start + kBackoffForgotten), kBackoffFirst);
}

}  // namespace
}  // namespace meltemi::host
