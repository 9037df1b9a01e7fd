// SPDX-License-Identifier: Apache-2.0
// The proxy's end of the capture protocol, blocking: for set-up on the control thread. Workers take
// their sockets from a SocketStock (stock.h), which never waits.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/capture/protocol.h"

namespace meltemi::capture {

inline constexpr Duration kAnswerWaitMax = std::chrono::seconds(5);

class Client final {
 public:
  // Connects to the sandbox's socket at `path`; each call below waits `wait_max` at most.
  static StatusOr<Client> Connect(const std::string& path, Duration wait_max = kAnswerWaitMax);

  // The listening socket on 127.0.0.1:`port` inside. All callers share one socket and one backlog:
  // a proxy that starts again takes over what waits. Non-blocking; do not shut it down.
  StatusOr<Fd> TcpListener(uint16_t port);
  StatusOr<Fd> UdpSocket(uint16_t port);
  // `count` (1 to kSocketsMax) unconnected TCP sockets: what they connect to is inside the sandbox.
  StatusOr<std::vector<Fd>> TcpSockets(int count);

 private:
  explicit Client(Fd socket) : socket_(std::move(socket)) {}
  StatusOr<std::vector<Fd>> Exchange(const Request& request, size_t expected);

  Fd socket_;
};

}  // namespace meltemi::capture
