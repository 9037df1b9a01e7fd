// SPDX-License-Identifier: Apache-2.0
// One workload: a sandbox, its proxy outside, its app inside, tied together for life. Loop thread
// only.
//
//            sandbox made, proxy started                proxy ready: app started
//   kStarting ───────────────────► kAwaitingProxy ───────────────────────────► kRunning
//       ▲                                                                        │ Stop()
//       │ sandbox ended: wait, all anew                                           ▼
//       └──────────────── kStarting ◄───────                     kDraining (proxy) ─► kStoppingApp
//       ─► kEnded
//
// Invariants:
//  1. The app starts after its proxy was ready once; what it connects to early waits in the capture
//  backlog.
//  2. A proxy that ends is started again and the app is left alone; an app that ends is started
//  again, or not,
//     as its restart policy says, and the proxy is left alone.
//  3. is_ready: the proxy is ready, the app runs, its readiness probe passes, and it is not
//  stopping.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/sandbox/sandbox.h"
#include "host/workload/backoff.h"
#include "host/workload/check.h"
#include "host/workload/log_file.h"
#include "host/workload/probe.h"
#include "host/workload/process.h"
#include "lib/capture/client.h"

namespace meltemi::host {

enum class RestartPolicy { kAlways, kOnFailure, kNever };

struct WorkloadSpec {
  std::string name;  // the Pod's
  std::string ns = "default";
  std::string ip;
  std::string domain = "cluster.local";
  std::string directory;  // for the sandbox's files and logs; the logs stay
  Command app;            // environment complete; none = a gateway: a proxy and no sandbox
  Command proxy;          // command line complete but for --capture, which the sandbox decides
  uint16_t status_port = 15021;  // where the proxy answers /healthz/ready, on `ip`
  RestartPolicy restart = RestartPolicy::kAlways;
  Probe startup, readiness, liveness;
  Duration drain_max = std::chrono::seconds(5);  // Istio's terminationDrainDuration
  Duration stop_max = std::chrono::seconds(10);  // then SIGKILL
};

enum class Phase { kStarting, kAwaitingProxy, kRunning, kDraining, kStoppingApp, kEnded };
const char* PhaseName(Phase phase);

struct WorkloadState {
  Phase phase = Phase::kStarting;
  bool is_ready = false;
  bool is_proxy_ready = false;
  bool is_app_running = false;
  int app_restarts = 0;
  int proxy_restarts = 0;
  std::string message;  // why it is not ready; what to do after a newline
  WallTime started{};
  Ending app_ending;  // of the app's last run, once it ended
};

class Workload final {
 public:
  using OnChange = std::function<void(const WorkloadState&)>;
  using OnExit = std::function<void(Ending)>;

  // `on_change` is called from the loop after each change of state; it must not destroy the
  // workload.
  Workload(runtime::Loop& loop, WorkloadSpec spec, OnChange on_change);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  // Errors that will not mend themselves (no namespaces, no nf_tables, no log folder); the workload
  // stays kStarting and may be destroyed. Later trouble is retried and shown in state().
  Status Start();
  // Drain, stop, end; kEnded is reached within drain_max + stop_max.
  void Stop();

  // Runs a command beside the app, with the app's environment where `command.env` is empty.
  // `on_exit` is called from the loop: code 127 when it could not be started.
  Status Exec(Command command, int in, int out, int err, OnExit on_exit, uint32_t* id);
  void SignalExec(uint32_t id, int number);

  const WorkloadSpec& spec() const { return spec_; }
  const WorkloadState& state() const { return state_; }
  // Of the sandbox's first process and of the proxy; -1 when there is none.
  pid_t sandbox_pid() const { return sandbox_ == nullptr ? -1 : sandbox_->pid(); }
  // Of the app as this machine counts, -1 when it does not run.
  pid_t app_pid() const { return app_id_ == 0 ? -1 : app_pid_; }
  pid_t proxy_pid() const { return proxy_ == nullptr ? -1 : proxy_->pid(); }
  std::string app_log() const { return spec_.directory + "/app.log"; }
  std::string proxy_log() const { return spec_.directory + "/proxy.log"; }

 private:
  class Events;
  bool has_app() const { return !spec_.app.argv.empty(); }
  // One of: waiting for an answer of the proxy's or the app's probes.
  Status MakeSandbox();
  void OnSandboxEvent();
  void OnSandboxEnded();
  void StartProxy();
  void OnProxyEnded(Ending ending);
  void PollProxy();
  void OnProxyPolled(bool is_ready, const std::string& why);
  void StartApp();
  void OnAppEnded(Ending ending);
  void OnAppRefused(int error);
  void StartProbes();
  void StopProbes();
  void AfterStartup();
  void Attempt(const Probe& probe, std::unique_ptr<Check>* slot,
               std::function<void(bool, const std::string&)> done);
  void KillUnhealthy(const std::string& why);
  void StopApp();
  void End();
  void Update();

  runtime::Loop& loop_;
  const WorkloadSpec spec_;
  OnChange on_change_;
  WorkloadState state_;
  bool is_probe_passing_ = false;

  std::unique_ptr<LogFile> app_log_, proxy_log_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<Process> proxy_;
  uint32_t app_id_ = 0;  // 0 = not running
  pid_t app_pid_ = -1;   // known once the sandbox has told
  std::map<uint32_t, OnExit> execs_;

  std::unique_ptr<Check> proxy_check_, startup_check_, readiness_check_, liveness_check_;
  std::unique_ptr<Prober> startup_, readiness_, liveness_;

  Backoff sandbox_backoff_, proxy_backoff_, app_backoff_;
  MonotonicTime sandbox_started_{}, proxy_started_{}, app_started_{};
  runtime::Timer sandbox_timer_, proxy_timer_, poll_timer_, app_timer_, deadline_timer_;
};

}  // namespace meltemi::host
