// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/worker_upstreams.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "proxy/listener/socket_source.h"

namespace meltemi::proxy {

WorkerUpstreams::WorkerUpstreams(runtime::Loop& loop, net::BlockPool& blocks, Random& random,
                                 std::unique_ptr<ConnectSockets> sockets,
                                 telemetry::Registry* registry, telemetry::Recorder* recorder,
                                 std::shared_ptr<const ClusterStatFamilies> stats)
    : loop_(loop),
      sockets_(std::move(sockets)),
      tls_counters_(TlsCounters::Side::kCluster, registry, recorder),
      stats_(std::move(stats)),
      resources_{loop_, blocks, random, *sockets_, tls_counters_, stats_.get(), recorder},
      snapshot_(std::make_shared<Snapshot>()) {}

WorkerUpstreams::~WorkerUpstreams() = default;

void WorkerUpstreams::Adopt(std::shared_ptr<const Snapshot> snapshot) {
  const std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, std::move(snapshot));
  const size_t count = std::max(before->clusters.size(), snapshot_->clusters.size());
  if (states_.size() < count) states_.resize(count);
  const auto at = [](const Snapshot& of,
                     size_t id) -> const std::shared_ptr<const CompiledCluster>& {
    static const std::shared_ptr<const CompiledCluster> none;
    return id < of.clusters.size() ? of.clusters[id] : none;
  };
  for (size_t id = 0; id < count; ++id) {
    const auto& old_one = at(*before, id);
    const auto& new_one = at(*snapshot_, id);
    if (old_one == new_one) continue;
    if (old_one == nullptr) ids_[new_one->config->info.name] = static_cast<ClusterId>(id);
    if (new_one == nullptr) {
      ids_.erase(old_one->config->info.name);
      if (states_[id]) Retire(std::move(states_[id]));
    } else if (states_[id]) {
      states_[id]->Update(new_one);
    }
  }
  std::erase_if(retiring_, [](const auto& state) { return state->is_unused(); });
}

void WorkerUpstreams::Retire(std::unique_ptr<ClusterState> state) {
  state->Remove();
  retiring_.push_back(std::move(state));  // swept at the next adoption
}

ClusterState* WorkerUpstreams::StateOf(ClusterId cluster) {
  if (cluster >= snapshot_->clusters.size() || snapshot_->clusters[cluster] == nullptr)
    return nullptr;
  if (states_[cluster] == nullptr) {
    states_[cluster] = std::make_unique<ClusterState>(resources_, snapshot_->clusters[cluster]);
  }
  return states_[cluster].get();
}

ClusterId WorkerUpstreams::Find(std::string_view name) const {
  const auto found = ids_.find(ToAbsl(name));
  return found == ids_.end() ? kNoId : found->second;
}

const ClusterInfo* WorkerUpstreams::Info(ClusterId cluster) const {
  if (cluster >= snapshot_->clusters.size() || snapshot_->clusters[cluster] == nullptr)
    return nullptr;
  return &snapshot_->clusters[cluster]->config->info;
}

std::unique_ptr<PendingOpen> WorkerUpstreams::OpenStream(ClusterId cluster,
                                                         const PickContext& context,
                                                         http::StreamCallbacks& stream,
                                                         StreamOpenCallbacks& callbacks) {
  if (ClusterState* state = StateOf(cluster)) return state->OpenStream(context, stream, callbacks);
  callbacks.OnStreamFailure({OpenFailure::kNoCluster, nullptr, ""});
  return nullptr;
}

std::unique_ptr<PendingOpen> WorkerUpstreams::OpenTcp(ClusterId cluster, const PickContext& context,
                                                      TcpOpenCallbacks& callbacks) {
  if (ClusterState* state = StateOf(cluster)) return state->OpenTcp(context, callbacks);
  callbacks.OnTcpFailure({OpenFailure::kNoCluster, nullptr, ""});
  return nullptr;
}

bool WorkerUpstreams::BeginRetry(ClusterId cluster) {
  ClusterState* state = StateOf(cluster);
  if (state == nullptr) return false;
  const uint32_t most = state->config().breakers.retries_max;
  BreakerCount& retries = state->counts().retries;
  if (retries.IsMet(most)) {
    state->stats().Count(ClusterStat::kRetryOverflow);
    return false;
  }
  retries.Add();
  state->stats().Count(ClusterStat::kRetry);
  return true;
}

void WorkerUpstreams::EndRetry(ClusterId cluster) {
  ClusterState* state = StateOf(cluster);
  if (state == nullptr || state->counts().retries.own() == 0) return;
  state->counts().retries.Remove();
}

ClusterStats* WorkerUpstreams::Stats(ClusterId cluster) {
  if (stats_ == nullptr) return nullptr;
  ClusterState* state = StateOf(cluster);
  return state == nullptr ? nullptr : &state->stats();
}

}  // namespace meltemi::proxy
