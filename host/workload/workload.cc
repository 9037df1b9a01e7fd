// SPDX-License-Identifier: Apache-2.0
#include "host/workload/workload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace meltemi::host {
namespace {

// Until the proxy is ready, and after. The first bounds how much later than it the app starts.
constexpr Duration kProxyPollEager = std::chrono::milliseconds(20);
constexpr Duration kProxyPollCalm = std::chrono::seconds(1);
constexpr Duration kProxyPollWaitMax = std::chrono::seconds(1);
// The sandbox's first process answers from its poll loop; one that does not is stuck.
constexpr Duration kCaptureWaitMax = std::chrono::milliseconds(500);
constexpr int kCannotStart = 127;  // a shell's exit code for it
constexpr Duration kUnhealthyGrace = std::chrono::seconds(5);

Fd Null() {
  return Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

// The pid that a child of `first` has out here, found by the one it has inside; -1 when it has
// gone.
pid_t PidOutside(pid_t first, int pid_inside) {
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", first));
  for (pid_t child; children >> child;) {
    std::ifstream status(fmt::format("/proc/{}/status", child));
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("NSpid:") && line.ends_with(fmt::format("\t{}", pid_inside)))
        return child;
  }
  return -1;
}

}  // namespace

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "starting";
    case Phase::kAwaitingProxy:
      return "awaiting proxy";
    case Phase::kRunning:
      return "running";
    case Phase::kDraining:
      return "draining";
    case Phase::kStoppingApp:
      return "stopping";
    case Phase::kEnded:
      return "ended";
  }
  return "";
}

// Watches the sandbox's socket for the workload.
class Workload::Events final : private runtime::FdHandler {
 public:
  Events(Workload& workload, int fd) : workload_(workload), fd_(fd) {
    if (!workload_.loop_.Watch(fd_, this).ok()) fd_ = -1;
  }
  ~Events() {
    if (fd_ >= 0) workload_.loop_.Unwatch(fd_, this);
  }

 private:
  void OnReady(runtime::Ready) override { workload_.OnSandboxEvent(); }

  Workload& workload_;
  int fd_;
};

Workload::Workload(runtime::Loop& loop, WorkloadSpec spec, OnChange on_change)
    : loop_(loop),
      spec_(std::move(spec)),
      on_change_(std::move(on_change)),
      sandbox_timer_(loop,
                     [this] {
                       const Status status = MakeSandbox();
                       if (status.ok()) return;
                       state_.message = std::string(Message(status));
                       sandbox_timer_.Arm(sandbox_backoff_.Next(sandbox_started_, loop_.Now()));
                       Update();
                     }),
      proxy_timer_(loop, [this] { StartProxy(); }),
      poll_timer_(loop, [this] { PollProxy(); }),
      app_timer_(loop, [this] { StartApp(); }),
      deadline_timer_(loop, [this] {
        if (state_.phase == Phase::kDraining) return StopApp();
        if (state_.phase == Phase::kStoppingApp) return End();
        if (app_id_ != 0) (void)sandbox_->Signal(app_id_, SIGKILL);
      }) {}

Workload::~Workload() = default;

Status Workload::Start() {
  std::error_code error;
  std::filesystem::create_directories(spec_.directory, error);
  if (error)
    return absl::InternalError(fmt::format("making {}: {}", spec_.directory, error.message()));
  MELTEMI_ASSIGN_OR_RETURN(app_log_, LogFile::Open(loop_, app_log()));
  MELTEMI_ASSIGN_OR_RETURN(proxy_log_, LogFile::Open(loop_, proxy_log()));
  state_.started = RealClock().Wall();
  return MakeSandbox();
}

Status Workload::MakeSandbox() {
  sandbox_started_ = loop_.Now();
  if (!has_app()) {
    state_.phase = Phase::kAwaitingProxy;
    StartProxy();
    return absl::OkStatus();
  }
  MELTEMI_ASSIGN_OR_RETURN(Sandbox sandbox,
                           Sandbox::Create({.directory = spec_.directory + "/sandbox",
                                            .hostname = spec_.name,
                                            .ip = spec_.ip,
                                            .ns = spec_.ns,
                                            .domain = spec_.domain}));
  sandbox_ = std::make_unique<Sandbox>(std::move(sandbox));
  events_ = std::make_unique<Events>(*this, sandbox_->events());
  state_.phase = Phase::kAwaitingProxy;
  StartProxy();
  return absl::OkStatus();
}

void Workload::StartProxy() {
  Command command = spec_.proxy;
  if (has_app()) {
    command.argv.push_back("--capture");
    command.argv.push_back(sandbox_->capture_path());
  }
  proxy_started_ = loop_.Now();
  auto started = Process::Start(loop_, command, proxy_log_->writer(),
                                [this](Ending ending) { OnProxyEnded(ending); });
  if (!started.ok()) {
    state_.message = std::string(Message(started.status()));
    proxy_timer_.Arm(proxy_backoff_.Next(proxy_started_, loop_.Now()));
  } else {
    proxy_ = *std::move(started);
    if (!state_.is_app_running) state_.message = "its proxy is not ready yet";
    poll_timer_.Arm(kProxyPollEager);
  }
  Update();
}

void Workload::OnProxyEnded(Ending ending) {
  proxy_.reset();
  proxy_check_.reset();
  poll_timer_.Disarm();
  state_.is_proxy_ready = false;
  if (state_.phase == Phase::kDraining) return StopApp();
  if (state_.phase == Phase::kStoppingApp) return;
  proxy_log_->Note(fmt::format("the proxy ended with {}; it is started again", ending.text()));
  state_.message = fmt::format("its proxy ended with {}\nsee {}", ending.text(), proxy_log());
  ++state_.proxy_restarts;
  proxy_timer_.Arm(proxy_backoff_.Next(proxy_started_, loop_.Now()));
  Update();
}

void Workload::PollProxy() {
  const auto address = net::Address::ParseIp(spec_.ip, spec_.status_port);
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!address.ok() || !socket.valid()) return OnProxyPolled(false, "no socket to ask it with");
  proxy_check_ = Check::Start(
      loop_, std::move(socket), *address, GetRequest(spec_.ip, "/healthz/ready"), kProxyPollWaitMax,
      [this](bool is_healthy, const std::string& why) { OnProxyPolled(is_healthy, why); });
}

void Workload::OnProxyPolled(bool is_ready, const std::string& why) {
  poll_timer_.Arm(is_ready ? kProxyPollCalm : kProxyPollEager);
  if (is_ready == state_.is_proxy_ready) return;
  state_.is_proxy_ready = is_ready;
  state_.message =
      is_ready ? "" : fmt::format("its proxy is not ready: {}\nsee {}", why, proxy_log());
  if (is_ready && state_.phase == Phase::kAwaitingProxy) {
    state_.phase = Phase::kRunning;
    if (has_app()) StartApp();
  }
  Update();
}

void Workload::StartApp() {
  app_started_ = loop_.Now();
  const Fd null = Null();
  const auto id = sandbox_->Run(spec_.app, null.get(), app_log_->writer(), app_log_->writer());
  if (!id.ok()) {
    state_.message = std::string(Message(id.status()));
    return Update();
  }
  app_id_ = *id;
  app_pid_ = -1;
  // Whether exec worked is told by the sandbox; until then it counts as started.
  state_.is_app_running = true;
  StartProbes();
  Update();
}

void Workload::OnSandboxEvent() {
  while (sandbox_ != nullptr) {
    const StatusOr<SandboxEvent> event = sandbox_->NextEvent();
    if (!event.ok()) {
      if (!absl::IsUnavailable(event.status())) OnSandboxEnded();
      return;
    }
    uint32_t id = 0;
    Ending ending;
    if (const auto* started = std::get_if<Started>(&*event)) {
      if (started->id == app_id_) app_pid_ = PidOutside(sandbox_->pid(), started->pid_inside);
      continue;
    }
    if (const auto* refused = std::get_if<Refused>(&*event)) {
      if (refused->id == app_id_) {
        OnAppRefused(refused->error);
        continue;
      }
      id = refused->id;
      ending.code = 127;
      ending.error = refused->error;
    } else if (const auto* exited = std::get_if<Exited>(&*event)) {
      id = exited->id;
      ending = {exited->code, exited->signal};
      if (id == app_id_) {
        OnAppEnded(ending);
        continue;
      }
    }
    const auto found = execs_.find(id);
    if (found == execs_.end()) continue;
    const OnExit on_exit = std::move(found->second);
    execs_.erase(found);
    on_exit(ending);
  }
}

void Workload::OnAppRefused(int error) {
  app_id_ = 0;
  state_.is_app_running = false;
  StopProbes();
  const bool is_restarted = spec_.restart != RestartPolicy::kNever;
  state_.message = fmt::format(
      "its command {} cannot be started: {}\n{}", spec_.app.argv[0], std::strerror(error),
      is_restarted ? "correct the command or the working directory of its image in the image map"
                   : "correct the command; a path counts from the folder it was given in");
  app_log_->Note(state_.message);
  if (state_.phase == Phase::kStoppingApp) return End();
  if (!is_restarted) {
    state_.app_ending = {.code = kCannotStart, .error = error};
    return Stop();
  }
  if (state_.phase == Phase::kRunning) app_timer_.Arm(app_backoff_.Next(app_started_, loop_.Now()));
  Update();
}

void Workload::OnAppEnded(Ending ending) {
  app_id_ = 0;
  state_.is_app_running = false;
  state_.app_ending = ending;
  StopProbes();
  deadline_timer_.Disarm();
  app_log_->Note(fmt::format("the app ended with {}", ending.text()));
  if (state_.phase == Phase::kStoppingApp) return End();
  const bool has_failed = ending.code != 0 || ending.signal != 0;
  const bool is_restarted = spec_.restart == RestartPolicy::kAlways ||
                            (spec_.restart == RestartPolicy::kOnFailure && has_failed);
  state_.message = fmt::format("its app ended with {}\nsee {}", ending.text(), app_log());
  if (is_restarted && state_.phase == Phase::kRunning) {
    ++state_.app_restarts;
    app_timer_.Arm(app_backoff_.Next(app_started_, loop_.Now()));
  } else if (!is_restarted) {
    return Stop();  // the proxy lives as long as its app
  }
  Update();
}

void Workload::OnSandboxEnded() {
  // Somebody killed the first process, and with it the kernel the app. The proxy's sockets are of
  // no use now.
  events_.reset();
  sandbox_.reset();
  proxy_.reset();
  proxy_check_.reset();
  StopProbes();
  for (runtime::Timer* timer : {&proxy_timer_, &poll_timer_, &app_timer_, &deadline_timer_})
    timer->Disarm();
  app_id_ = 0;
  state_.is_app_running = state_.is_proxy_ready = false;
  for (auto& [id, on_exit] : std::exchange(execs_, {})) on_exit({.code = 0, .signal = SIGKILL});
  if (state_.phase == Phase::kDraining || state_.phase == Phase::kStoppingApp) return End();
  state_.phase = Phase::kStarting;
  state_.message = "its sandbox was ended from outside; it is made again";
  ++state_.app_restarts;
  app_log_->Note(state_.message);
  sandbox_timer_.Arm(sandbox_backoff_.Next(sandbox_started_, loop_.Now()));
  Update();
}

void Workload::StartProbes() {
  StopProbes();
  is_probe_passing_ = spec_.readiness.kind == ProbeKind::kNone;
  if (spec_.startup.kind == ProbeKind::kNone) return AfterStartup();
  is_probe_passing_ = false;
  startup_ = std::make_unique<Prober>(
      loop_, spec_.startup,
      [this](auto done) { Attempt(spec_.startup, &startup_check_, std::move(done)); },
      [this](bool is_passing, const std::string& why) {
        if (!is_passing) return KillUnhealthy(why);
        is_probe_passing_ = spec_.readiness.kind == ProbeKind::kNone;
        AfterStartup();
        Update();
        startup_.reset();
      });
}

void Workload::AfterStartup() {
  if (spec_.readiness.kind != ProbeKind::kNone) {
    Probe eager = spec_.readiness;
    eager.is_eager = true;
    readiness_ = std::make_unique<Prober>(
        loop_, eager,
        [this](auto done) { Attempt(spec_.readiness, &readiness_check_, std::move(done)); },
        [this](bool is_passing, const std::string& why) {
          const bool is_once = spec_.readiness.is_once;
          is_probe_passing_ = is_passing || is_once;
          state_.message =
              is_probe_passing_ ? "" : fmt::format("its readiness probe fails: {}", why);
          if (is_once) readiness_.reset();
          Update();
        });
  }
  if (spec_.liveness.kind != ProbeKind::kNone)
    liveness_ = std::make_unique<Prober>(
        loop_, spec_.liveness,
        [this](auto done) { Attempt(spec_.liveness, &liveness_check_, std::move(done)); },
        [this](bool is_passing, const std::string& why) {
          if (!is_passing) KillUnhealthy(why);
        });
}

void Workload::StopProbes() {
  is_probe_passing_ = false;
  startup_.reset();
  readiness_.reset();
  liveness_.reset();
  startup_check_.reset();
  readiness_check_.reset();
  liveness_check_.reset();
}

void Workload::KillUnhealthy(const std::string& why) {
  if (app_id_ == 0 || state_.phase != Phase::kRunning) return;
  app_log_->Note(fmt::format("the app is not healthy ({}); it is stopped", why));
  (void)sandbox_->Signal(app_id_, SIGTERM);
  deadline_timer_.Arm(kUnhealthyGrace);
}

void Workload::Attempt(const Probe& probe, std::unique_ptr<Check>* slot,
                       std::function<void(bool, const std::string&)> done) {
  slot->reset();
  if (probe.kind == ProbeKind::kExec) {
    const Fd null = Null();
    uint32_t id = 0;
    const Status status = Exec(
        {probe.command, {}, spec_.app.working_directory}, null.get(), null.get(), null.get(),
        [done](Ending ending) { done(ending.code == 0 && ending.signal == 0, ending.text()); },
        &id);
    (void)status;  // without an answer the prober tries again
    return;
  }
  const auto address = net::Address::ParseIp("127.0.0.1", probe.port);
  auto client = capture::Client::Connect(sandbox_->capture_path(), kCaptureWaitMax);
  if (!client.ok() || !address.ok()) return;
  auto sockets = client->TcpSockets(1);
  if (!sockets.ok()) return;
  const std::string host = probe.host.empty() ? spec_.ip : probe.host;
  *slot = Check::Start(
      loop_, std::move(sockets->front()), *address,
      probe.kind == ProbeKind::kHttp ? GetRequest(host, probe.path, probe.headers) : "",
      probe.timeout, std::move(done));
}

Status Workload::Exec(Command command, int in, int out, int err, OnExit on_exit, uint32_t* id) {
  if (sandbox_ == nullptr)
    return absl::FailedPreconditionError(
        fmt::format("{} has no sandbox just now: {}", spec_.name, PhaseName(state_.phase)));
  if (command.env.empty()) command.env = spec_.app.env;
  MELTEMI_ASSIGN_OR_RETURN(*id, sandbox_->Run(command, in, out, err));
  execs_[*id] = std::move(on_exit);
  return absl::OkStatus();
}

void Workload::SignalExec(uint32_t id, int number) {
  if (sandbox_ != nullptr && execs_.contains(id)) (void)sandbox_->Signal(id, number);
}

void Workload::Stop() {
  if (state_.phase == Phase::kDraining || state_.phase == Phase::kStoppingApp ||
      state_.phase == Phase::kEnded)
    return;
  for (runtime::Timer* timer : {&sandbox_timer_, &proxy_timer_, &poll_timer_, &app_timer_})
    timer->Disarm();
  proxy_check_.reset();
  StopProbes();
  if (sandbox_ == nullptr && proxy_ == nullptr) return End();
  state_.phase = Phase::kDraining;
  state_.message = "stopping";
  if (proxy_ == nullptr) return StopApp();
  proxy_->Signal(SIGTERM);
  deadline_timer_.Arm(spec_.drain_max);
  Update();
}

void Workload::StopApp() {
  state_.phase = Phase::kStoppingApp;
  if (app_id_ == 0) return End();
  (void)sandbox_->Signal(app_id_, SIGTERM);
  deadline_timer_.Arm(spec_.stop_max);
  Update();
}

void Workload::End() {
  deadline_timer_.Disarm();
  StopProbes();
  proxy_.reset();
  events_.reset();
  sandbox_.reset();
  app_id_ = 0;
  for (auto& [id, on_exit] : std::exchange(execs_, {})) on_exit({.code = 0, .signal = SIGKILL});
  state_.is_app_running = state_.is_proxy_ready = false;
  state_.phase = Phase::kEnded;
  Update();
}

void Workload::Update() {
  state_.is_ready = state_.phase == Phase::kRunning && state_.is_proxy_ready &&
                    (!has_app() || (state_.is_app_running && is_probe_passing_));
  on_change_(state_);
}

}  // namespace meltemi::host
