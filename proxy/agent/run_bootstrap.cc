// SPDX-License-Identifier: Apache-2.0
// The proxy as Envoy's replacement: everything comes from one file.
#include <fmt/format.h>

#include <cstdio>

#include "lib/base/log.h"
#include "proxy/agent/process.h"
#include "proxy/agent/run.h"
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

StatusOr<int> Run(const BootstrapOptions& options) {
  auto bootstrap =
      options.path.empty() ? ParseBootstrap(options.text) : LoadBootstrap(options.path);
  if (!bootstrap.ok()) return bootstrap.status();
  MELTEMI_ASSIGN_OR_RETURN(auto loop, runtime::Loop::Create());
  bool is_adopted = false;
  MELTEMI_ASSIGN_OR_RETURN(auto process, Process::Start(*loop, SetupFor(options, *bootstrap)));
  MELTEMI_RETURN_IF_ERROR(LoadStatic(*process, *bootstrap, [&is_adopted] {
    is_adopted = true;
    MELTEMI_LOG(info, "static configuration in use");
  }));
  if (options.only_validates) {
    fmt::print("configuration '{}' OK\n", options.path.empty() ? "inline" : options.path);
    return 0;
  }
  ProxyServer& server = process->server();
  process->SetReadiness([&] { return is_adopted && server.config().is_warm(); });
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
