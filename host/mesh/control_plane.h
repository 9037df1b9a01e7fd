// SPDX-License-Identifier: Apache-2.0
// The control plane's process: started, watched for readiness, started again when it ends. Proxies
// go on with what they have meanwhile. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/workload/backoff.h"
#include "host/workload/check.h"
#include "host/workload/log_file.h"
#include "host/workload/process.h"

namespace meltemi::host {

class ControlPlane final {
 public:
  // `on_change` is called from the loop when readiness changes, and when it has ended after Stop().
  ControlPlane(runtime::Loop& loop, Command command, uint16_t monitoring_port, std::string log_path,
               std::function<void()> on_change);

  Status Start();
  void Stop();  // SIGTERM, then SIGKILL

  bool is_ready() const { return is_ready_; }
  bool has_ended() const { return is_stopping_ && process_ == nullptr; }
  int restarts() const { return restarts_; }
  pid_t pid() const { return process_ == nullptr ? -1 : process_->pid(); }
  const std::string& message() const { return message_; }
  const std::string& log_path() const { return log_path_; }
  // Why it ended, in the words of its log's last lines, and where the log is.
  std::string LastWords() const;

 private:
  void Launch();
  void Poll();
  void OnPolled(bool is_ready, const std::string& why);
  void OnEnded(Ending ending);

  runtime::Loop& loop_;
  const Command command_;
  const uint16_t monitoring_port_;
  const std::string log_path_;
  std::function<void()> on_change_;
  std::unique_ptr<LogFile> log_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<Check> check_;
  Backoff backoff_;
  MonotonicTime launched_{};
  bool is_ready_ = false;
  bool is_stopping_ = false;
  int restarts_ = 0;
  std::string message_ = "it is starting";
  runtime::Timer launch_timer_, poll_timer_, kill_timer_;
};

}  // namespace meltemi::host
