// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy_worker.h"

#include <random>

namespace meltemi::proxy {
namespace {

uint64_t Seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

ProxyWorker::ProxyWorker(uint32_t index, runtime::Loop& loop, net::BlockPool& blocks,
                         SocketSource& sockets, telemetry::Registry* registry,
                         const ListenerLimits& limits,
                         std::shared_ptr<const ClusterStatFamilies> cluster_stats)
    : index_(index),
      loop_(loop),
      blocks_(blocks),
      random_(Seed()),
      recorder_(registry ? std::make_unique<telemetry::Recorder>(*registry) : nullptr),
      snapshot_(std::make_shared<Snapshot>()),
      upstreams_(loop, blocks, random_, sockets.NewConnectSockets(loop), registry, recorder_.get(),
                 std::move(cluster_stats)),
      listeners_(*this, limits, registry) {}

ProxyWorker::~ProxyWorker() {
  listeners_.Stop();
}

void ProxyWorker::Adopt(std::shared_ptr<const Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  upstreams_.Adopt(
      snapshot_);  // before listeners: no route may meet a cluster that is not there yet
  http_.OnAdopted();
  listeners_.Adopt(*snapshot_);
}

void ProxyWorker::SetOverload(const OverloadLevels& levels) {
  overload_ = levels;
  listeners_.OnOverload();
}

}  // namespace meltemi::proxy
