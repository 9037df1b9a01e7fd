// SPDX-License-Identifier: Apache-2.0
// The sandbox's end of the capture protocol. Runs in the sandbox's first process, single-threaded,
// driven by that process's poll loop. Holds the capture sockets for the sandbox's life, so that a
// connection made while no proxy runs waits in the backlog instead of being refused.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/capture/protocol.h"

namespace meltemi::capture {

class Server final {
 public:
  // Makes listening TCP sockets and UDP sockets on 127.0.0.1 in the present network namespace.
  static StatusOr<Server> Open(const std::vector<uint16_t>& tcp_ports,
                               const std::vector<uint16_t>& udp_ports);

  // Answers one request waiting on `connection`. False: the peer closed, sent what is no request,
  // or does not read; close the connection.
  bool ServeOne(int connection) const;

  // For the proof that capture holds; -1 when there is none.
  int tcp_listener(uint16_t port) const;
  int udp_socket(uint16_t port) const;

 private:
  Server() = default;
  std::map<uint16_t, Fd> tcp_;
  std::map<uint16_t, Fd> udp_;
};

}  // namespace meltemi::capture
