// SPDX-License-Identifier: Apache-2.0
// One host of one cluster on one worker: its pools and counts. Made at its first pick, kept while
// configuration names it or anything still uses it. Worker-local.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/runtime/loop.h"
#include "proxy/upstream/breaker_count.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/cluster_stats.h"
#include "proxy/upstream/pool.h"

namespace meltemi::proxy {

class HostState;
class ConnectSockets;
class TlsCounters;

// Counts of one cluster, compared with its circuit breakers.
struct Counts {
  BreakerCount connections, pending, requests, retries;
};

// What a host needs of its cluster.
class HostOwner {
 public:
  virtual const ClusterConfig& config() const = 0;
  virtual Counts& counts() = 0;
  virtual ClusterStats& stats() = 0;
  virtual runtime::Loop& loop() = 0;
  virtual net::BlockPool& blocks() = 0;
  virtual ConnectSockets& sockets() = 0;
  virtual TlsCounters& tls_counters() = 0;
  // `host` is neither configured nor used any more; the callee frees it at the end of the pass.
  virtual void OnUnused(HostState& host) = 0;

 protected:
  ~HostOwner() = default;
};

OpenFailure FailureOf(net::CloseReason reason);
std::string_view CloseReasonText(net::CloseReason reason);

class HostState final : public Host {
 public:
  HostState(HostOwner& cluster, std::shared_ptr<const HostInfo> info, uint8_t transport);

  const HostInfo& info() const override { return *info_; }
  void Report(int status) override { (void)status; }
  void CountTlsFailure(net::TlsFailure failure) override;

  HostOwner& cluster() { return cluster_; }
  // Requests in line for a connection.
  void AddPending();
  void RemovePending();
  // A new connection's transport is ready, or never will be.
  void CountConnected(const net::Connection& connection);
  void CountFailed(const net::Connection& connection, net::CloseReason reason);
  runtime::Loop& loop() { return cluster_.loop(); }
  uint32_t active() const { return active_; }
  MonotonicTime last_used() const { return last_used_; }
  Pool& PoolFor(PoolKey key);
  size_t connections() const;

  // A new connection on its way; nullptr when none could be started (connect_error() tells why).
  // `preamble` goes ahead of a TLS handshake; on a plain connection the owner sends it once it is
  // connected (SendPreamble).
  std::unique_ptr<net::Connection> Connect(const std::vector<std::string>& alpn,
                                           const std::string& server_name,
                                           const std::string& preamble);
  static void SendPreamble(net::Connection& connection, std::string_view preamble);
  // What its connections tell of the client; nullptr: nothing.
  const ProxyProtocolOut* proxy() const;
  std::string_view connect_error() const { return connect_error_; }

  ActiveRequest BeginRequest();
  // A TCP connection; counts as a connection too.
  ActiveRequest BeginTcp();
  // An open attempt that no pool accounts for is under way on this host.
  void BeginAttempt() { ++attempts_; }
  void EndAttempt() {
    --attempts_;
    ReleaseIfUnused();
  }

  // New facts about the same host. Another transport means other connections.
  void Update(std::shared_ptr<const HostInfo> info, uint8_t transport);
  void DrainPools();
  void Remove();
  bool is_removed() const { return is_removed_; }
  bool is_unused() const;
  void ReleaseIfUnused();

 private:
  struct Requests final : ActiveRequest::Owner {
    explicit Requests(HostState& of, bool is_tcp) : state(of), counts_connection(is_tcp) {}
    Host& host() override { return state; }
    const ClusterInfo& cluster() const override { return state.cluster_.config().info; }
    void Release() override { state.EndRequest(counts_connection); }
    HostState& state;
    const bool counts_connection;
  };
  void EndRequest(bool counts_connection);
  Pool& OwnPoolFor(PoolKey key);
  void SweepOwnPools();
  static constexpr size_t kSweepMin = 64;

  HostOwner& cluster_;
  std::shared_ptr<const HostInfo> info_;
  uint8_t transport_;
  bool is_removed_ = false;
  bool is_released_ = false;
  uint32_t active_ = 0;
  uint32_t attempts_ = 0;
  MonotonicTime last_used_{};
  std::string_view connect_error_;
  Requests requests_{*this, false};
  Requests tcp_{*this, true};
  std::vector<std::unique_ptr<Pool>> pools_;
  // Those with a preamble, by it: as many as there are clients. Empty ones are swept now and then.
  absl::flat_hash_map<std::string, std::vector<std::unique_ptr<Pool>>> own_pools_;
  size_t sweep_at_ = kSweepMin;
};

}  // namespace meltemi::proxy
