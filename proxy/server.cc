// SPDX-License-Identifier: Apache-2.0
#include "proxy/server.h"

#include <fmt/format.h>

#include <utility>

#include "lib/runtime/snapshot.h"
#include "lib/runtime/worker.h"
#include "proxy/config/control_target.h"
#include "proxy/config/dump.h"
#include "proxy/config/model.h"
#include "proxy/config/model_stats.h"
#include "proxy/http/http_stats.h"
#include "proxy/overload/overload.h"
#include "proxy/proxy_worker.h"
#include "proxy/tcp_access_log.h"
#include "proxy/tcp_stats.h"
#include "proxy/tcp_tunnel_request.h"

namespace meltemi::proxy {
namespace {

constexpr size_t kConcurrencyMax = 256;

class Server final : public ProxyServer {
 public:
  Server(runtime::Loop& control, ServerOptions options)
      : control_(control), options_(std::move(options)) {
    if (options_.sockets == nullptr) options_.sockets = NewHostSockets();
    options_.limits.process_connections = std::make_shared<runtime::SharedCount>();
    options_.limits.process_connections_max = options_.overload.connections_max;
    options_.process.workers = options_.concurrency;
    if (options_.registry == nullptr) return;
    if (options_.process.metrics == nullptr) options_.process.metrics = options_.registry;
    if (options_.has_envoy_stats) {
      options_.process.http_stats = NewHttpStatFamilies(*options_.registry);
      cluster_stats_ = NewClusterStatFamilies(*options_.registry);
    }
    options_.tcp_observers.push_back(NewTcpStats(*options_.registry, options_.process));
  }
  ~Server() override { Stop(); }

  Status Start();
  ConfigSink& config() override { return *model_; }
  void SetLoadingStatic(bool is_loading) override { model_->set_is_loading_static(is_loading); }
  void Drain(Direction direction, bool stops_accepting) override;
  size_t CountConnections() override;
  void RefreshGauges() override { model_->RefreshGauges(); }
  void Stop() override;
  runtime::StreamEngine socket_io() const override {
    return seats_.front()->thread->loop().stream_engine();
  }
  StatusOr<grpc::Target> TargetOf(const std::string& cluster, size_t turn) override {
    return ControlTarget(*model_, cluster, turn);
  }

  std::string ConfigDump(const std::string& resource, const std::string& name_regex) override {
    return DumpConfig(*model_, resource, name_regex);
  }
  std::string ClustersText() override { return DumpClustersText(*model_); }
  std::string ClustersJson() override { return DumpClustersJson(*model_); }
  std::string ListenersText() override { return DumpListenersText(*model_); }
  std::string ListenersJson() override { return DumpListenersJson(*model_); }
  std::vector<CertificateTexts> Certificates() override { return CertificatesInUse(*model_); }

 private:
  // What lives on one worker's thread.
  struct Seat {
    std::unique_ptr<runtime::Worker> thread;
    std::unique_ptr<ProxyWorker> worker;
  };
  void Publish(std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted);
  void TellOverload(const OverloadLevels& levels);
  FilterCompilers Compilers() const;

  runtime::Loop& control_;
  ServerOptions options_;
  std::shared_ptr<const ClusterStatFamilies> cluster_stats_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::unique_ptr<runtime::SnapshotSlots<Snapshot>> slots_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Overload> overload_;  // nullptr: nothing is watched
  bool is_stopped_ = false;
};

FilterCompilers Server::Compilers() const {
  constexpr std::string_view kNetwork = "envoy.extensions.filters.network.";
  FilterCompilers compilers;
  compilers.log = [process = options_.process](std::string_view serialized) {
    return CompileConnectionLog(serialized, process);
  };
  compilers.gates = NetworkGateCompilers(options_.registry);
  compilers.chains = {
      {fmt::format("{}tcp_proxy.v3.TcpProxy", kNetwork),
       TcpChainCompiler({.observers = options_.tcp_observers,
                         .log = compilers.log,
                         .tunnel = CompileTunnelRequest,
                         .registry = options_.registry})},
      {fmt::format("{}direct_response.v3.Config", kNetwork), DirectResponseCompiler()},
      {fmt::format("{}http_connection_manager.v3.HttpConnectionManager", kNetwork),
       HttpChainCompiler(options_.process)},
  };
  return compilers;
}

Status Server::Start() {
  if (options_.concurrency == 0 || options_.concurrency > kConcurrencyMax) {
    return absl::InvalidArgumentError(
        fmt::format("concurrency {}: must be 1 to {}", options_.concurrency, kConcurrencyMax));
  }
  std::vector<runtime::Loop*> loops;
  for (size_t i = 0; i < options_.concurrency; ++i) {
    auto seat = std::make_unique<Seat>();
    MELTEMI_ASSIGN_OR_RETURN(
        seat->thread, runtime::Worker::Start(fmt::format("worker-{}", i), i, options_.socket_io));
    Seat* at = seat.get();
    at->thread->RunAndWait([this, at, i] {
      at->worker = std::make_unique<ProxyWorker>(
          static_cast<uint32_t>(i), at->thread->loop(), at->thread->pool(), *options_.sockets,
          options_.registry, options_.limits, cluster_stats_);
    });
    loops.push_back(&at->thread->loop());
    seats_.push_back(std::move(seat));
  }
  slots_ = std::make_unique<runtime::SnapshotSlots<Snapshot>>(control_, loops);
  model_ = std::make_unique<Model>(Model::Options{
      .control = control_,
      .clock = RealClock(),
      .sockets = *options_.sockets,
      .workers = options_.concurrency,
      .compilers = Compilers(),
      .compile_routes = [](std::string_view serialized,
                           ClusterNames& clusters) { return CompileRoutes(serialized, clusters); },
      .registry = options_.registry,
      .counts_members = options_.has_envoy_stats,
      .publish =
          [this](std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted) {
            Publish(std::move(snapshot), std::move(adopted));
          },
  });
  if (options_.registry != nullptr) AddModelStats(*options_.registry, *model_);
  if (options_.overload.monitors.empty()) return absl::OkStatus();
  Overload::Sources sources;
  sources.connections = options_.limits.process_connections;
  sources.registry = options_.registry;
  sources.tell = [this](const OverloadLevels& levels) { TellOverload(levels); };
  overload_ = std::make_unique<Overload>(control_, options_.overload, std::move(sources));
  return absl::OkStatus();
}

void Server::TellOverload(const OverloadLevels& levels) {
  for (const auto& seat : seats_) {
    seat->thread->Post([at = seat.get(), levels] {
      if (at->worker != nullptr) at->worker->SetOverload(levels);
    });
  }
}

void Server::Publish(std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted) {
  if (is_stopped_) return;
  slots_->Publish(std::move(snapshot));
  // Posted behind the slot's change: each worker finds the new snapshot there.
  auto waiting = std::make_shared<size_t>(seats_.size());
  auto done = std::make_shared<std::function<void()>>(std::move(adopted));
  for (size_t i = 0; i < seats_.size(); ++i) {
    seats_[i]->thread->Post([this, i, waiting, done] {
      seats_[i]->worker->Adopt(slots_->Get(i));
      control_.Post([waiting, done] {
        if (--*waiting == 0 && *done) (*done)();
      });
    });
  }
}

void Server::Drain(Direction direction, bool stops_accepting) {
  if (is_stopped_) return;
  for (const auto& seat : seats_) {
    seat->thread->Post([at = seat.get(), direction, stops_accepting] {
      at->worker->listeners().Drain(direction, stops_accepting);
    });
  }
}

size_t Server::CountConnections() {
  size_t count = 0;
  if (is_stopped_) return count;
  for (const auto& seat : seats_) {
    seat->thread->RunAndWait([&] { count += seat->worker->listeners().active(); });
  }
  return count;
}

void Server::Stop() {
  if (std::exchange(is_stopped_, true)) return;
  overload_.reset();
  for (size_t i = 0; i < seats_.size(); ++i) {
    // A session that ended in this very pass is freed at its end, and still knows its upstream
    // then: the worker goes in the next.
    seats_[i]->thread->RunAndWait([this, i] { seats_[i]->worker->listeners().Stop(); });
    seats_[i]->thread->RunAndWait([this, i] {
      seats_[i]->worker.reset();
      slots_->Release(i);
    });
  }
  for (const auto& seat : seats_) seat->thread->StopAndJoin();
  // References the workers gave back are posted to the control loop and end there; the seats, whose
  // loops the slots name, stay until this object goes.
}

}  // namespace

StatusOr<std::unique_ptr<ProxyServer>> ProxyServer::Build(runtime::Loop& control,
                                                          ServerOptions options) {
  auto server = std::make_unique<Server>(control, std::move(options));
  MELTEMI_RETURN_IF_ERROR(server->Start());
  return std::unique_ptr<ProxyServer>(std::move(server));
}

}  // namespace meltemi::proxy
