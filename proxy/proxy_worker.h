// SPDX-License-Identifier: Apache-2.0
// The data path of one thread put together: upstreams, listeners, the snapshot. Made, used and
// destroyed on that thread.
#pragma once

#include <memory>

#include "lib/telemetry/metrics.h"
#include "proxy/config/snapshot.h"
#include "proxy/http/worker_http.h"
#include "proxy/listener/worker_listeners.h"
#include "proxy/upstream/worker_upstreams.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

class ProxyWorker final : public Worker {
 public:
  ProxyWorker(uint32_t index, runtime::Loop& loop, net::BlockPool& blocks, SocketSource& sockets,
              telemetry::Registry* registry, const ListenerLimits& limits,
              std::shared_ptr<const ClusterStatFamilies> cluster_stats);
  ~ProxyWorker();

  void Adopt(std::shared_ptr<const Snapshot> snapshot);
  void SetOverload(const OverloadLevels& levels);
  WorkerListeners& listeners() { return listeners_; }

  uint32_t index() const override { return index_; }
  runtime::Loop& loop() override { return loop_; }
  net::BlockPool& blocks() override { return blocks_; }
  Upstreams& upstreams() override { return upstreams_; }
  WorkerHttp& http() override { return http_; }
  Random& random() override { return random_; }
  const Clock& clock() const override { return RealClock(); }
  const std::shared_ptr<const Snapshot>& snapshot() const override { return snapshot_; }
  void End(ActiveConnection& connection) override { listeners_.End(connection); }
  telemetry::Recorder* recorder() override { return recorder_.get(); }

 private:
  const uint32_t index_;
  runtime::Loop& loop_;
  net::BlockPool& blocks_;
  Random random_;
  std::unique_ptr<telemetry::Recorder> recorder_;
  std::shared_ptr<const Snapshot> snapshot_;
  // Its connections use both others: destroyed before them.
  WorkerUpstreams upstreams_;
  WorkerHttp http_{*this};
  WorkerListeners listeners_;
};

}  // namespace meltemi::proxy
