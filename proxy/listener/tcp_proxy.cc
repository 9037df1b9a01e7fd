// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_proxy.h"

#include <numeric>
#include <optional>
#include <utility>

#include "lib/balance/balancer.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

class TcpProxy;

//   connecting ──OnTcpReady──▶ relaying ──both halves ended, error, idle──▶ over
//       └──OnTcpFailure: next attempt, or over
class TcpSession final : public ActiveConnection,
                         private TcpOpenCallbacks,
                         private runtime::Deferred {
 public:
  TcpSession(std::shared_ptr<const TcpProxyConfig> config, Worker& worker,
             AcceptedConnection accepted);
  ~TcpSession() override;
  void Drain() override {}  // there is nothing to tell; the deadline cuts it

 private:
  // One end of the pair.
  struct Side final : net::ConnectionCallbacks {
    Side(TcpSession& of, bool down) : session(of), is_downstream(down) {}
    void OnInput() override { session.Relay(*this); }
    void OnOutputDrained() override { session.Relay(session.Other(*this)); }
    void OnClosed(net::CloseReason reason) override { session.OnSideClosed(*this, reason); }
    TcpSession& session;
    const bool is_downstream;
    net::Connection* connection = nullptr;
    bool has_ended = false;  // its end was passed on
    bool is_closed = false;  // both halves done; what it sent may still wait in its input
  };

  Side& Other(const Side& side) { return side.is_downstream ? upstream_ : downstream_; }
  void RunDeferred() override { Connect(); }
  void Connect();
  ClusterId ChooseCluster();
  void OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) override;
  void OnTcpFailure(const OpenFailureInfo& failure) override;
  void Relay(Side& from);
  void OnSideClosed(Side& side, net::CloseReason reason);
  void OnIdle();
  void Finish(std::string_view flags);
  void Report(bool is_opened);

  const std::shared_ptr<const TcpProxyConfig> config_;
  Worker& worker_;
  AcceptedConnection accepted_;
  Side downstream_{*this, true};
  Side upstream_{*this, false};
  std::unique_ptr<net::Connection> upstream_connection_;
  ActiveRequest request_;
  std::unique_ptr<PendingOpen> pending_;
  const MonotonicTime begin_;
  MonotonicTime last_bytes_;
  runtime::Timer idle_timer_;
  std::optional<runtime::Timer> duration_timer_;
  ClusterId cluster_ = kNoId;
  uint32_t attempts_ = 0;
  bool is_connecting_ = false;
  bool is_over_ = false;
  std::string_view flags_ = "-";
  std::string failure_detail_;
};

TcpSession::TcpSession(std::shared_ptr<const TcpProxyConfig> config, Worker& worker,
                       AcceptedConnection accepted)
    : config_(std::move(config)),
      worker_(worker),
      accepted_(std::move(accepted)),
      begin_(worker.loop().Now()),
      last_bytes_(begin_),
      idle_timer_(worker.loop(), [this] { OnIdle(); }) {
  cluster_ = ChooseCluster();
  downstream_.connection = accepted_.connection.get();
  // Armed at once, also while the upstream is still being connected.
  if (config_->idle_timeout.count() > 0) idle_timer_.Arm(config_->idle_timeout);
  if (config_->connection_duration_max.count() > 0) {
    duration_timer_.emplace(worker.loop(), [this] { Finish("DT"); });
    duration_timer_->Arm(config_->connection_duration_max);
  }
  Report(true);
  accepted_.connection->SetCallbacks(&downstream_);
  worker.loop().Defer(this);  // once accepted: an attempt may fail, and end this, at once
}

TcpSession::~TcpSession() {
  if (!is_over_) {
    flags_ = "DO";  // cut by a drain or by the end of the process
    Report(false);
  }
}

ClusterId TcpSession::ChooseCluster() {
  const auto& targets = config_->targets;
  if (targets.size() == 1) return targets[0].cluster;
  uint64_t sum = 0;
  for (const auto& target : targets) sum += target.weight;
  uint64_t point = worker_.random().Below(sum);
  for (const auto& target : targets) {
    if (point < target.weight) return target.cluster;
    point -= target.weight;
  }
  return kNoId;
}

void TcpSession::Connect() {
  ++attempts_;
  PickContext context;
  context.original_destination = &accepted_.original_destination;
  context.authority = accepted_.server_name;
  context.on_behalf = {&accepted_.connection->remote_address(), &accepted_.original_destination,
                       accepted_.proxy_header.get()};
  if (config_->hashes_source_ip) {
    context.hash = balance::HashKey(accepted_.connection->remote_address().ip());
    context.has_hash = true;
  }
  is_connecting_ = true;
  auto pending = worker_.upstreams().OpenTcp(cluster_, context, *this);
  if (is_connecting_) pending_ = std::move(pending);
}

void TcpSession::OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) {
  is_connecting_ = false;
  pending_.reset();
  if (is_over_) return;
  upstream_connection_ = std::move(connection);
  request_ = std::move(request);
  upstream_.connection = upstream_connection_.get();
  upstream_connection_->SetCallbacks(&upstream_);
  Relay(downstream_);  // what the client sent meanwhile
}

void TcpSession::OnTcpFailure(const OpenFailureInfo& failure) {
  is_connecting_ = false;
  failure_detail_ = std::string(failure.detail);
  pending_.reset();
  if (is_over_) return;
  const bool may_retry = failure.kind == OpenFailure::kConnectFailed ||
                         failure.kind == OpenFailure::kConnectTimeout ||
                         failure.kind == OpenFailure::kTlsFailed;
  if (may_retry && attempts_ < config_->connect_attempts_max) return Connect();
  switch (failure.kind) {
    case OpenFailure::kNoCluster:
      return Finish("NC");
    case OpenFailure::kNoHealthyHost:
      return Finish("UH");
    case OpenFailure::kOverflow:
      return Finish("UO");
    default:
      return Finish(config_->connect_attempts_max > 1 ? "UF,URX" : "UF");
  }
}

void TcpSession::Relay(Side& from) {
  Side& to = Other(from);
  if (is_over_ || from.connection == nullptr || to.connection == nullptr) return;
  net::Buffer& input = from.connection->input();
  if (to.is_closed) input.Clear();  // nobody is left to read it
  if (!input.empty()) {
    last_bytes_ = worker_.loop().Now();
    if (to.connection->is_output_full()) return;  // OnOutputDrained comes back here
    to.connection->output().Append(input.view());
    input.Clear();
    to.connection->Flush();
  }
  if (from.connection->input_ended() && !from.has_ended) {
    from.has_ended = true;
    if (!to.is_closed) to.connection->EndOutput();
  }
  const bool may_read = !from.is_closed && !from.has_ended && !to.connection->is_output_full();
  if (may_read) from.connection->ResumeReading();
}

void TcpSession::OnSideClosed(Side& side, net::CloseReason reason) {
  if (is_over_) return;
  Side& other = Other(side);
  if (reason != net::CloseReason::kRemoteEnd || other.connection == nullptr) {
    return Finish(side.is_downstream ? "DC" : "UC");
  }
  side.is_closed = true;
  if (other.is_closed) return Finish("-");
  Relay(side);   // its last bytes
  Relay(other);  // drops what nobody reads
}

void TcpSession::OnIdle() {
  const Duration quiet = worker_.loop().Now() - last_bytes_;
  if (quiet >= config_->idle_timeout) return Finish("SI");
  idle_timer_.Arm(config_->idle_timeout - quiet);
}

void TcpSession::Finish(std::string_view flags) {
  if (is_over_) return;
  is_over_ = true;
  flags_ = flags;
  idle_timer_.Disarm();
  if (duration_timer_) duration_timer_->Disarm();
  pending_.reset();
  Report(false);
  worker_.End(*this);  // closes both connections
}

void TcpSession::Report(bool is_opened) {
  if (config_->observers.empty()) return;
  TcpSummary summary;
  summary.accepted = &accepted_;
  summary.cluster = worker_.upstreams().Info(cluster_);
  summary.host = request_ ? &request_.host() : nullptr;
  summary.downstream_tls = accepted_.connection->tls_peer();
  summary.bytes_received = accepted_.connection->bytes_received();
  summary.bytes_sent = accepted_.connection->bytes_sent();
  summary.duration = worker_.loop().Now() - begin_;
  summary.response_flags = flags_;
  summary.failure_detail = failure_detail_;
  summary.is_opened = is_opened;
  for (const auto& observer : config_->observers) observer->Observe(worker_, summary);
}

class TcpProxy final : public ChainHandler {
 public:
  explicit TcpProxy(TcpProxyConfig config)
      : config_(std::make_shared<const TcpProxyConfig>(std::move(config))) {}
  std::unique_ptr<ActiveConnection> Accept(Worker& worker,
                                           AcceptedConnection accepted) const override {
    return std::make_unique<TcpSession>(config_, worker, std::move(accepted));
  }

 private:
  const std::shared_ptr<const TcpProxyConfig> config_;
};

}  // namespace

std::shared_ptr<const ChainHandler> NewTcpProxy(TcpProxyConfig config) {
  return std::make_shared<const TcpProxy>(std::move(config));
}

}  // namespace meltemi::proxy
