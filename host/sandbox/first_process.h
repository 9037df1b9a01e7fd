// SPDX-License-Identifier: Apache-2.0
// The first process of a sandbox: sets the namespaces up, proves capture, gives its capabilities
// away, then runs apps, reaps, hands sockets to the proxy, and obeys its owner. It is process 1 of
// the sandbox's PID namespace: when it ends, by whatever cause, the kernel ends everything inside.
#pragma once

#include <string>

namespace meltemi::host {

struct FirstProcess {
  int control = -1;           // the owner's socket pair, this end
  int capture_listener = -1;  // where proxies ask for sockets
  unsigned uid = 0, gid = 0;  // of the owner, outside
  std::string hostname;
  std::string ip;
  std::string resolv_conf_path;
  std::string hosts_path;
};

// Never returns. Called in the fresh process, with all namespaces new and nothing set up.
[[noreturn]] void RunFirstProcess(const FirstProcess& options);

}  // namespace meltemi::host
