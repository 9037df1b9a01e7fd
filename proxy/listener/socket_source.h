// SPDX-License-Identifier: Apache-2.0
// Where sockets come from. By default the host's own network; under `meltemi run` a workload's
// namespace hands out the sockets that face the app, and its inbound ports bind on the workload's
// address.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "proxy/listener/chain_handler.h"

namespace meltemi::proxy {

// setsockopt on a listening socket before the bind, after it, or once it listens.
struct SocketOption {
  enum class State : uint8_t { kPrebind, kBound, kListening };
  int level = 0, name = 0;
  std::string value;  // as the kernel takes it
  State state = State::kPrebind;
};

struct ListenRequest {
  std::string listener_name;
  net::Address address;  // as configured
  Direction direction = Direction::kUnspecified;
  bool is_original_destination = false;  // use_original_dst: connections are redirected to it
  // Ports its filter chains match by destination: those a source without redirection binds instead.
  std::vector<uint16_t> destination_ports;
  int backlog = 4096;      // the kernel cuts it to somaxconn
  bool is_shared = false;  // one socket that all workers accept from (enable_reuse_port: false)
  std::vector<SocketOption> options;
};

// One bound, listening, non-blocking socket.
struct ListeningSocket {
  Fd fd;
  net::Address address;  // as bound: a port of zero has become a real one
};

struct ConnectRequest {
  const net::Address& to;
  const net::Address* bind = nullptr;  // upstream_bind_config, without port
  bool is_original_destination =
      false;  // the cluster's type: the address a connection was meant for
};

// Worker-local: unconnected non-blocking sockets for upstream connections.
class ConnectSockets {
 public:
  virtual ~ConnectSockets() = default;
  // No descriptor: none can be had now; the attempt fails as a failed connect.
  virtual Fd Take(const ConnectRequest& request) = 0;
};

class SocketSource {
 public:
  virtual ~SocketSource() = default;
  // Control thread. The addresses the listener is to accept on; by default the configured one.
  virtual std::vector<net::Address> Addresses(const ListenRequest& request) {
    return {request.address};
  }
  // Control thread. One socket per worker for one of those addresses. Listeners that come to use
  // the same address share what is open already. A source with one socket for all gives each worker
  // a duplicate.
  virtual StatusOr<std::vector<ListeningSocket>> Listen(const ListenRequest& request,
                                                        const net::Address& address,
                                                        size_t workers) = 0;
  // On the worker's thread, once, before its first connection.
  virtual std::unique_ptr<ConnectSockets> NewConnectSockets(runtime::Loop& loop) = 0;
};

// The host's network: one SO_REUSEPORT socket per worker.
std::unique_ptr<SocketSource> NewHostSockets();

}  // namespace meltemi::proxy
