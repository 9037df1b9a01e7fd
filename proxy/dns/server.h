// SPDX-License-Identifier: Apache-2.0
// The DNS server of a workload: answers for the mesh from the name table, refuses names of the
// mesh's domain that are not in it, forwards everything else. Control-thread only.
//
// Invariants:
//  1. A name below the mesh's domain never leaves the machine.
//  2. Until the first name table has come, queries for the mesh's domain get SERVFAIL (try again),
//  not NXDOMAIN,
//     which an app would remember.
//  3. One pass of the loop takes `kPacketsPerPass` datagrams at most.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "lib/base/fd.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "proxy/dns/forwarder.h"
#include "proxy/dns/name_table.h"

namespace meltemi::proxy::dns {

struct ServerOptions {
  std::vector<net::Address> resolvers;  // of the host
  ForwarderLimits forwarding;
  uint32_t ttl_s = 30;  // Istio's
  size_t tcp_connections_max = 64;
  Duration tcp_idle_max = std::chrono::seconds(10);
};

struct ServerCounters {
  uint64_t queries = 0;
  uint64_t answered = 0;  // from the name table, NXDOMAIN included
  uint64_t forwarded = 0;
  uint64_t failed = 0;  // SERVFAIL: nobody answered, or too many in flight
  uint64_t malformed = 0;
};

class Server final {
 public:
  // `udp` is bound, `tcp` listens; both non-blocking; either may be none.
  static StatusOr<std::unique_ptr<Server>> Create(runtime::Loop& loop, Fd udp, Fd tcp,
                                                  ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Update(std::shared_ptr<const NameTable> names) { names_ = std::move(names); }
  bool has_names() const { return names_ != nullptr; }
  const ServerCounters& counters() const { return counters_; }

  static constexpr int kPacketsPerPass = 64;

 private:
  class Udp;
  class TcpListener;
  class TcpConnection;
  using Reply = std::function<void(std::span<const uint8_t>)>;  // empty = say nothing

  Server(runtime::Loop& loop, ServerOptions options);
  // Calls `reply` once, now or later. `bytes_max` 0 = what the question says (UDP).
  void Handle(std::span<const uint8_t> packet, size_t bytes_max, Reply reply);
  void Forward(std::span<const uint8_t> packet, const Question& question, size_t bytes_max,
               Reply reply);
  void Remove(TcpConnection* connection);

  runtime::Loop& loop_;
  ServerOptions options_;
  Forwarder forwarder_;
  std::shared_ptr<const NameTable> names_;
  ServerCounters counters_;
  std::unique_ptr<Udp> udp_;
  std::unique_ptr<TcpListener> tcp_;
  std::unordered_map<TcpConnection*, std::shared_ptr<TcpConnection>> connections_;
};

}  // namespace meltemi::proxy::dns
