// SPDX-License-Identifier: Apache-2.0
// One cluster on one worker: the configuration it runs on, its hosts as far as they were used,
// counts. Worker-local. An update keeps the hosts and connections that stay equal; what was removed
// ends after its last user.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proxy/upstream/host_state.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

// What clusters share on a worker.
struct UpstreamResources {
  runtime::Loop& loop;
  net::BlockPool& blocks;
  Random& random;
  ConnectSockets& sockets;
  TlsCounters& tls_counters;
  const ClusterStatFamilies* stats = nullptr;  // nullptr: nothing is counted
  telemetry::Recorder* recorder = nullptr;
};

class ClusterState final : private HostOwner, private balance::PickState {
 public:
  // Hosts one ORIGINAL_DST cluster keeps per worker at most; beyond it new destinations are
  // refused.
  static constexpr size_t kOriginalHostsMax = 16384;

  ClusterState(UpstreamResources resources, std::shared_ptr<const CompiledCluster> compiled);
  ~ClusterState();

  const ClusterInfo& info() const { return compiled_->config->info; }
  const std::shared_ptr<const CompiledCluster>& compiled() const { return compiled_; }
  void Update(std::shared_ptr<const CompiledCluster> compiled);
  // The configuration dropped it: every host goes after its last user.
  void Remove();
  bool is_unused() const { return used_.empty(); }

  std::unique_ptr<PendingOpen> OpenStream(const PickContext& context, http::StreamCallbacks& stream,
                                          StreamOpenCallbacks& callbacks);
  std::unique_ptr<PendingOpen> OpenTcp(const PickContext& context, TcpOpenCallbacks& callbacks);
  Counts& counts() override { return counts_; }
  ClusterStats& stats() override { return stats_; }
  const ClusterConfig& config() const override { return *compiled_->config; }

 private:
  class PendingTcp;

  runtime::Loop& loop() override { return resources_.loop; }
  net::BlockPool& blocks() override { return resources_.blocks; }
  ConnectSockets& sockets() override { return resources_.sockets; }
  TlsCounters& tls_counters() override { return resources_.tls_counters; }
  void OnUnused(HostState& host) override;

  uint64_t Random() override { return resources_.random.Next(); }
  uint32_t active(uint32_t host) const override {
    return by_index_[host] == nullptr ? 0 : by_index_[host]->active();
  }

  // The counts of all workers where a limit binds, this one's alone elsewhere.
  void BindBreakers();
  HostState* Pick(const PickContext& context);
  HostState* PickOriginal(const PickContext& context);
  HostState& HostAt(uint32_t index);
  void CleanOriginal();
  // Nothing when what `host` is to be told does not fit.
  static std::optional<std::string> PreambleFor(const HostState& host, const PickContext& context);
  PoolKey KeyFor(const PickContext& context) const;

  UpstreamResources resources_;
  std::shared_ptr<const CompiledCluster> compiled_;
  // Settings that earlier requests may still refer to; let go when nothing is under way.
  std::vector<std::shared_ptr<const ClusterConfig>> earlier_;
  std::shared_ptr<SharedBreakers> shared_;  // what counts_ refers to
  Counts counts_;
  ClusterStats stats_;
  absl::flat_hash_map<HostState*, std::unique_ptr<HostState>> used_;
  std::vector<HostState*> by_index_;  // as in the endpoint set; nullptr = not used yet
  absl::flat_hash_map<std::string, HostState*> original_;  // ORIGINAL_DST, by address text
  runtime::Timer cleanup_;
};

}  // namespace meltemi::proxy
