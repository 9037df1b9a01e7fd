// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/host_state.h"

#include <algorithm>

#include "proxy/listener/socket_source.h"
#include "proxy/upstream/tls_counters.h"

namespace meltemi::proxy {

OpenFailure FailureOf(net::CloseReason reason) {
  if (reason == net::CloseReason::kConnectTimeout) return OpenFailure::kConnectTimeout;
  if (reason == net::CloseReason::kTlsFailed) return OpenFailure::kTlsFailed;
  return OpenFailure::kConnectFailed;
}

std::string_view CloseReasonText(net::CloseReason reason) {
  switch (reason) {
    case net::CloseReason::kRemoteEnd:
      return "closed by the peer before it was ready";
    case net::CloseReason::kReset:
      return "connection reset";
    case net::CloseReason::kConnectFailed:
      return "connection refused or host unreachable";
    case net::CloseReason::kConnectTimeout:
      return "connection timeout";
    case net::CloseReason::kTlsFailed:
      return "TLS handshake failed";
    case net::CloseReason::kLocal:
      return "closed locally";
  }
  return "";
}

HostState::HostState(HostOwner& cluster, std::shared_ptr<const HostInfo> info, uint8_t transport)
    : cluster_(cluster), info_(std::move(info)), transport_(transport) {}

void HostState::CountConnected(const net::Connection& connection) {
  if (const net::TlsPeer* peer = connection.tls_peer()) {
    cluster_.tls_counters().CountHandshake(*peer, cluster_.config().info.stat_name);
  }
}

void HostState::AddPending() {
  cluster_.counts().pending.Add();
  cluster_.stats().Count(ClusterStat::kPending);
  cluster_.stats().Count(ClusterStat::kPendingActive);
}

void HostState::RemovePending() {
  cluster_.counts().pending.Remove();
  cluster_.stats().Uncount(ClusterStat::kPendingActive);
}

void HostState::CountFailed(const net::Connection& connection, net::CloseReason reason) {
  cluster_.stats().Count(ClusterStat::kConnectFailed);
  if (reason == net::CloseReason::kConnectTimeout) {
    cluster_.stats().Count(ClusterStat::kConnectTimeout);
  }
  if (reason == net::CloseReason::kTlsFailed) CountTlsFailure(connection.tls_failure_kind());
}

void HostState::CountTlsFailure(net::TlsFailure failure) {
  cluster_.tls_counters().CountFailure(failure, cluster_.config().info.stat_name);
}

Pool& HostState::PoolFor(PoolKey key) {
  if (!key.preamble.empty()) return OwnPoolFor(std::move(key));
  for (const auto& pool : pools_) {
    if (pool->key() == key) return *pool;
  }
  pools_.push_back(std::make_unique<Pool>(*this, std::move(key)));
  return *pools_.back();
}

Pool& HostState::OwnPoolFor(PoolKey key) {
  if (own_pools_.size() >= sweep_at_) SweepOwnPools();
  auto& pools = own_pools_[key.preamble];
  for (const auto& pool : pools) {
    if (pool->key() == key) return *pool;
  }
  pools.push_back(std::make_unique<Pool>(*this, std::move(key)));
  return *pools.back();
}

void HostState::SweepOwnPools() {
  for (auto at = own_pools_.begin(); at != own_pools_.end();) {
    const bool is_empty = std::all_of(at->second.begin(), at->second.end(),
                                      [](const auto& pool) { return pool->is_empty(); });
    if (is_empty) {
      // One of them may be on the stack.
      for (auto& pool : at->second) loop().DeferDelete(std::shared_ptr<Pool>(std::move(pool)));
      own_pools_.erase(at++);
    } else {
      ++at;
    }
  }
  sweep_at_ = std::max(kSweepMin, 2 * own_pools_.size());
}

const ProxyProtocolOut* HostState::proxy() const {
  const auto& transports = cluster_.config().transports;
  return transport_ < transports.size() ? transports[transport_].proxy.get() : nullptr;
}

void HostState::SendPreamble(net::Connection& connection, std::string_view preamble) {
  if (preamble.empty() || connection.tls_peer() != nullptr) return;
  connection.output().Append(preamble);
  connection.Flush();
}

size_t HostState::connections() const {
  size_t count = 0;
  for (const auto& pool : pools_) count += pool->connections();
  for (const auto& [preamble, pools] : own_pools_) {
    for (const auto& pool : pools) count += pool->connections();
  }
  return count;
}

std::unique_ptr<net::Connection> HostState::Connect(const std::vector<std::string>& alpn,
                                                    const std::string& server_name,
                                                    const std::string& preamble) {
  const ClusterConfig& config = cluster_.config();
  std::unique_ptr<net::RecordLayer> records;
  if (transport_ < config.transports.size() && config.transports[transport_].is_tls) {
    const Transport& transport = config.transports[transport_];
    if (transport.tls == nullptr) {
      connect_error_ = "TLS secret is not ready";
      return nullptr;
    }
    const bool takes_host = server_name.empty() && transport.is_sni_automatic;
    records = transport.tls->NewSession(alpn, takes_host ? info_->hostname : server_name);
    if (records == nullptr) {
      connect_error_ = "TLS session could not be made";
      return nullptr;
    }
    if (!preamble.empty()) records = NewPreambleLayer(preamble, std::move(records));
  }
  const bool is_original = config.discovery == Discovery::kOriginalDst;
  Fd socket =
      cluster_.sockets().Take({info_->address, config.bind ? &*config.bind : nullptr, is_original});
  if (!socket.valid()) {
    connect_error_ = "no socket could be had";
    return nullptr;
  }
  net::ConnectionLimits limits;
  if (config.connection_buffer_bytes > 0) {
    limits.output_bytes_high = std::min(limits.output_bytes_high, config.connection_buffer_bytes);
  }
  return net::Connection::Connect(loop(), cluster_.blocks(), std::move(socket), info_->address,
                                  config.info.connect_timeout, std::move(records), limits);
}

ActiveRequest HostState::BeginRequest() {
  ++active_;
  cluster_.counts().requests.Add();
  cluster_.stats().Count(ClusterStat::kRequests);
  cluster_.stats().Count(ClusterStat::kRequestsActive);
  return ActiveRequest(&requests_);
}

ActiveRequest HostState::BeginTcp() {
  ++active_;
  cluster_.counts().connections.Add();
  cluster_.stats().Count(ClusterStat::kRequests);
  cluster_.stats().Count(ClusterStat::kRequestsActive);
  return ActiveRequest(&tcp_);
}

void HostState::EndRequest(bool counts_connection) {
  --active_;
  last_used_ = loop().Now();
  ClusterStats& stats = cluster_.stats();
  stats.Uncount(ClusterStat::kRequestsActive);
  if (counts_connection) {
    cluster_.counts().connections.Remove();
    stats.CountClosed(std::nullopt);  // its holder knows which end it was
  } else {
    cluster_.counts().requests.Remove();
  }
  ReleaseIfUnused();
}

void HostState::Update(std::shared_ptr<const HostInfo> info, uint8_t transport) {
  info_ = std::move(info);
  if (transport_ == transport) return;
  transport_ = transport;
  DrainPools();
}

void HostState::DrainPools() {
  for (const auto& pool : pools_) pool->DrainConnections();
  for (const auto& [preamble, pools] : own_pools_) {
    for (const auto& pool : pools) pool->DrainConnections();
  }
}

void HostState::Remove() {
  is_removed_ = true;
  DrainPools();
  ReleaseIfUnused();
}

bool HostState::is_unused() const {
  const auto are_empty = [](const std::vector<std::unique_ptr<Pool>>& pools) {
    return std::all_of(pools.begin(), pools.end(),
                       [](const auto& pool) { return pool->is_empty(); });
  };
  return active_ == 0 && attempts_ == 0 && are_empty(pools_) &&
         std::all_of(own_pools_.begin(), own_pools_.end(),
                     [&](const auto& entry) { return are_empty(entry.second); });
}

void HostState::ReleaseIfUnused() {
  if (!is_removed_ || is_released_ || !is_unused()) return;
  is_released_ = true;
  cluster_.OnUnused(*this);
}

}  // namespace meltemi::proxy
