// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_proxy.h"

#include <utility>

#include "proxy/listener/tcp_session.h"

namespace meltemi::proxy {
namespace {

class TcpProxy final : public ChainHandler {
 public:
  TcpProxy(TcpProxyConfig config, telemetry::Registry* registry) {
    TcpCounters counters(registry, config.stat_prefix);
    shared_ = std::make_shared<const TcpShared>(TcpShared{std::move(config), std::move(counters)});
  }
  bool reports_connections() const override { return true; }
  void OnRefused(Worker& worker, const AcceptedConnection& accepted,
                 std::string_view detail) const override {
    TcpSummary summary;
    summary.accepted = &accepted;
    summary.downstream_tls = accepted.connection->tls_peer();
    summary.response_flags = "-";
    summary.termination_detail = detail;
    for (const auto& log : shared_->config.logs) log->Observe(worker, summary);
    if (accepted.listener_logs == nullptr) return;
    for (const auto& log : *accepted.listener_logs) log->Observe(worker, summary);
  }
  std::unique_ptr<ActiveConnection> Accept(Worker& worker,
                                           AcceptedConnection accepted) const override {
    return std::make_unique<TcpSession>(shared_, worker, std::move(accepted));
  }

 private:
  std::shared_ptr<const TcpShared> shared_;
};

}  // namespace

std::shared_ptr<const ChainHandler> NewTcpProxy(TcpProxyConfig config,
                                                telemetry::Registry* registry) {
  return std::make_shared<const TcpProxy>(std::move(config), registry);
}

}  // namespace meltemi::proxy
