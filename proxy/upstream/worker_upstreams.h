// SPDX-License-Identifier: Apache-2.0
// All clusters of one worker. Worker-local; made and destroyed on the worker's thread, and outlives
// every request and connection that uses it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proxy/upstream/cluster_state.h"
#include "proxy/upstream/tls_counters.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class WorkerUpstreams final : public Upstreams {
 public:
  WorkerUpstreams(runtime::Loop& loop, net::BlockPool& blocks, Random& random,
                  std::unique_ptr<ConnectSockets> sockets, telemetry::Registry* registry = nullptr,
                  telemetry::Recorder* recorder = nullptr,
                  std::shared_ptr<const ClusterStatFamilies> stats = nullptr);
  ~WorkerUpstreams() override;

  // Follows a new snapshot: changed clusters are updated, removed ones drained.
  void Adopt(std::shared_ptr<const Snapshot> snapshot);

  ClusterId Find(std::string_view name) const override;
  const ClusterInfo* Info(ClusterId cluster) const override;
  std::unique_ptr<PendingOpen> OpenStream(ClusterId cluster, const PickContext& context,
                                          http::StreamCallbacks& stream,
                                          StreamOpenCallbacks& callbacks) override;
  std::unique_ptr<PendingOpen> OpenTcp(ClusterId cluster, const PickContext& context,
                                       TcpOpenCallbacks& callbacks) override;
  bool BeginRetry(ClusterId cluster) override;
  void EndRetry(ClusterId cluster) override;
  ClusterStats* Stats(ClusterId cluster) override;

 private:
  // Made at the first use, so that clusters a worker never sees cost it a pointer.
  ClusterState* StateOf(ClusterId cluster);
  void Retire(std::unique_ptr<ClusterState> state);

  runtime::Loop& loop_;
  std::unique_ptr<ConnectSockets> sockets_;
  TlsCounters tls_counters_;
  const std::shared_ptr<const ClusterStatFamilies> stats_;
  UpstreamResources resources_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<std::unique_ptr<ClusterState>> states_;  // by ClusterId
  std::vector<std::unique_ptr<ClusterState>> retiring_;
  absl::flat_hash_map<std::string, ClusterId> ids_;
};

}  // namespace meltemi::proxy
