// SPDX-License-Identifier: Apache-2.0
// The proxy as Envoy's replacement: everything comes from one file.
#include <fmt/format.h>

#include <cstdio>
#include <random>
#include <set>

#include "lib/base/log.h"
#include "proxy/agent/discovery.h"
#include "proxy/agent/process.h"
#include "proxy/agent/run.h"
#include "proxy/agent/xds_metrics.h"
#include "proxy/config/bootstrap.h"

namespace meltemi::proxy {
namespace {

// For --mode validate: ports of a running proxy are no error, so none of the configured is taken.
class ValidatingSockets final : public SocketSource {
 public:
  StatusOr<std::vector<ListeningSocket>> Listen(const ListenRequest& request, const net::Address&,
                                                size_t workers) override {
    return host_->Listen(request, net::Address::Ipv4(0x7f000001, 0), workers);
  }
  std::unique_ptr<ConnectSockets> NewConnectSockets(runtime::Loop& loop) override {
    return host_->NewConnectSockets(loop);
  }

 private:
  const std::unique_ptr<SocketSource> host_ = NewHostSockets();
};

Process::Setup SetupFor(const BootstrapOptions& options, const Bootstrap& bootstrap) {
  Process::Setup setup;
  setup.process = options.process;
  if (options.only_validates) {
    setup.process.concurrency = 1;
    setup.sockets = std::make_shared<ValidatingSockets>();
  }
  setup.drain.time_max = options.process.drain_time;
  setup.node_id = options.node_id.empty() ? bootstrap.node_id : options.node_id;
  setup.node_cluster = options.node_cluster.empty() ? bootstrap.node_cluster : options.node_cluster;
  setup.node_metadata_json = bootstrap.node_metadata_json;
  setup.overload = bootstrap.overload;
  setup.has_envoy_stats = true;
  setup.rejects_path_fragments = bootstrap.rejects_path_fragments;
  return setup;
}

Status LoadStatic(Process& process, const Bootstrap& bootstrap, std::function<void()> adopted) {
  process.server().SetLoadingStatic(true);
  const Status status = ApplyStatic(bootstrap, process.server().config(), std::move(adopted));
  process.server().SetLoadingStatic(false);
  return status;
}

// A server is reached through a cluster that is there from the start, and ads needs to be set up.
Status JudgeSources(const Bootstrap& bootstrap, const Wanted& wanted) {
  std::set<std::string> clusters;
  for (const auto& [name, bytes] : bootstrap.clusters) clusters.insert(name);
  const auto judge = [&](const std::string& what, const ConfigSource& source) -> Status {
    if (source.is_aggregated() && !bootstrap.dynamic.aggregated)
      return absl::InvalidArgumentError(
          fmt::format("{}: subscribed by ads, but there is no dynamic_resources.ads_config", what));
    const auto& grpc = source.is_aggregated() ? bootstrap.dynamic.aggregated : source.grpc;
    if (!grpc || clusters.contains(grpc->cluster)) return absl::OkStatus();
    return absl::InvalidArgumentError(fmt::format(
        "{}: its server's cluster '{}' is none of static_resources.clusters", what, grpc->cluster));
  };
  if (bootstrap.dynamic.aggregated)
    MELTEMI_RETURN_IF_ERROR(judge("dynamic_resources.ads_config", {}));
  if (bootstrap.dynamic.clusters)
    MELTEMI_RETURN_IF_ERROR(
        judge("dynamic_resources.cds_config", bootstrap.dynamic.clusters->source));
  if (bootstrap.dynamic.listeners)
    MELTEMI_RETURN_IF_ERROR(
        judge("dynamic_resources.lds_config", bootstrap.dynamic.listeners->source));
  for (const SourcedNames* names : {&wanted.endpoints, &wanted.routes, &wanted.secrets})
    for (const auto& [name, source] : *names) MELTEMI_RETURN_IF_ERROR(judge(name, source));
  return absl::OkStatus();
}

// The proxy as long as it runs; what is static has been given to `process`.
class Running final {
 public:
  Running(runtime::Loop& loop, Process& process, const Bootstrap& bootstrap)
      : loop_(loop), process_(process), random_(std::random_device{}()) {
    Discovery::Options options;
    options.resources = bootstrap.dynamic;
    options.node = bootstrap.node;
    options.target = [this](const std::string& cluster, size_t turn) {
      return process_.server().TargetOf(cluster, turn);
    };
    options.random = [this] { return std::uniform_real_distribution<double>()(random_); };
    options.adopted = [] {};
    discovery_ = std::make_unique<Discovery>(loop_, process_.server().config(), std::move(options));
    const DynamicResources& dynamic = bootstrap.dynamic;
    if (!dynamic.aggregated && !dynamic.clusters && !dynamic.listeners) return;
    AddXdsMetrics(process_.registry(), [this] {
      return XdsState{discovery_->connected() == discovery_->sources(), discovery_->counters()};
    });
  }
  // Static resources are in use: servers can be reached.
  void OnAdopted() {
    MELTEMI_LOG(info, "static configuration in use");
    is_adopted_ = true;
    discovery_->Start();
  }
  bool is_ready() const {
    return is_adopted_ && discovery_->has_initial() && process_.server().config().is_warm();
  }

 private:
  runtime::Loop& loop_;
  Process& process_;
  std::mt19937_64 random_;
  std::unique_ptr<Discovery> discovery_;
  bool is_adopted_ = false;
};

StatusOr<int> Run(const BootstrapOptions& options) {
  auto bootstrap =
      options.path.empty() ? ParseBootstrap(options.text) : LoadBootstrap(options.path);
  if (!bootstrap.ok()) return bootstrap.status();
  MELTEMI_ASSIGN_OR_RETURN(auto loop, runtime::Loop::Create());
  MELTEMI_ASSIGN_OR_RETURN(auto process, Process::Start(*loop, SetupFor(options, *bootstrap)));
  const auto running = std::make_shared<Running>(*loop, *process, *bootstrap);
  MELTEMI_RETURN_IF_ERROR(LoadStatic(*process, *bootstrap, [weak = std::weak_ptr(running)] {
    if (const auto alive = weak.lock()) alive->OnAdopted();
  }));
  MELTEMI_RETURN_IF_ERROR(JudgeSources(*bootstrap, process->server().config().wanted()));
  if (options.only_validates) {
    fmt::print("configuration '{}' OK\n", options.path.empty() ? "inline" : options.path);
    return 0;
  }
  process->SetReadiness([&running = *running] { return running.is_ready(); });
  const auto admin = options.admin ? options.admin : bootstrap->admin;
  if (admin.has_value()) MELTEMI_RETURN_IF_ERROR(process->ListenAdmin(*admin));
  *bootstrap = Bootstrap();  // the sink has its own copy
  return process->Run();
}

}  // namespace

int RunBootstrap(BootstrapOptions options) {
  const StatusOr<int> status = Run(options);
  if (status.ok()) return *status;
  MELTEMI_LOG(critical, "{}", Message(status.status()));
  return 1;
}

}  // namespace meltemi::proxy
