// SPDX-License-Identifier: Apache-2.0
// A sandbox, seen from outside: the namespaces one workload's app runs in, and the first process
// that keeps them. Made by an ordinary user. Owned by one thread; destroying it ends everything
// inside at once.
//
// Invariants:
//  1. Create() returns only sandboxes whose capture was proved by traffic.
//  2. When the owner's thread or process ends, by whatever cause, the kernel ends the sandbox.
//  3. Each Run() that was accepted gives one Started or Refused, and each Started one Exited,
//  unless the sandbox
//     itself ends: then NextEvent() fails.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <variant>

#include "host/sandbox/messages.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::host {

struct SandboxOptions {
  std::string
      directory;  // of its own: gets capture.sock, resolv.conf, hosts; removed with the sandbox
  std::string hostname;  // the Pod's name
  std::string ip;        // in kWorkloadNetwork
  std::string ns = "default";
  std::string domain = "cluster.local";
  Duration setup_wait_max = std::chrono::seconds(20);
};

struct Started {
  uint32_t id;
  int pid_inside;
};
struct Refused {
  uint32_t id;
  int error;  // errno of exec or chdir
};
struct Exited {
  uint32_t id;
  int code;    // meaningful when signal == 0
  int signal;  // 0 = ended by itself
};
using SandboxEvent = std::variant<Started, Refused, Exited>;

class Sandbox final {
 public:
  // Requires: the calling process has one thread (the new process goes on without exec).
  static StatusOr<Sandbox> Create(const SandboxOptions& options);
  Sandbox(Sandbox&& other) noexcept;
  Sandbox& operator=(Sandbox&&) = delete;
  ~Sandbox();

  // Starts a command with the given stdin, stdout, stderr and returns its id here.
  StatusOr<uint32_t> Run(const Command& command, int in, int out, int err);
  // To the process group of command `id`.
  Status Signal(uint32_t id, int number);

  // Readable when an event waits, or the sandbox ended.
  int events() const { return control_.get(); }
  // Unavailable when none waits; Cancelled when the sandbox has ended.
  StatusOr<SandboxEvent> NextEvent();

  const std::string& capture_path() const { return capture_path_; }
  pid_t pid() const { return pid_; }

 private:
  Sandbox() = default;
  Status AwaitReady(Duration wait_max);

  pid_t pid_ = -1;
  Fd control_;
  std::string directory_;
  std::string capture_path_;
  uint32_t next_id_ = 1;
};

}  // namespace meltemi::host
