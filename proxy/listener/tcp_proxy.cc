// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_proxy.h"

#include <sys/socket.h>

#include <array>
#include <numeric>
#include <optional>
#include <utility>

#include "lib/balance/balancer.h"
#include "lib/telemetry/metrics.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

enum class TcpCounter : uint8_t {
  kTotal,
  kNoRoute,
  kReceived,
  kSent,
  kIdleTimeout,
  kDurationMax,
  kCount
};

// tcp.<stat_prefix>.*, by Envoy's names. Immutable.
class TcpCounters final {
 public:
  TcpCounters(telemetry::Registry* registry, std::string prefix) : prefix_(std::move(prefix)) {
    if (registry == nullptr) return;
    constexpr const char* kNames[] = {"downstream_cx_total",
                                      "downstream_cx_no_route",
                                      "downstream_cx_rx_bytes_total",
                                      "downstream_cx_tx_bytes_total",
                                      "idle_timeout",
                                      "max_downstream_connection_duration"};
    for (size_t i = 0; i < families_.size(); ++i) {
      telemetry::FamilyOptions options;
      options.name = std::string("envoy_tcp_") + kNames[i];
      options.help = "Of TCP proxies.";
      options.type = telemetry::MetricType::kCounter;
      options.labels = {"envoy_tcp_prefix"};
      options.text = std::string("tcp.{}.") + kNames[i];
      families_[i] = registry->Add(std::move(options));
    }
  }
  void Count(Worker& worker, TcpCounter counter, uint64_t amount = 1) const {
    telemetry::Family* family = families_[static_cast<size_t>(counter)];
    if (family == nullptr || worker.recorder() == nullptr || amount == 0) return;
    worker.recorder()->Find(family, std::array{std::string_view(prefix_)}).Add(amount);
  }

 private:
  const std::string prefix_;
  std::array<telemetry::Family*, static_cast<size_t>(TcpCounter::kCount)> families_{};
};

struct TcpShared {
  TcpProxyConfig config;
  TcpCounters counters;
};

// The peer of a connection that was reset learns so by a reset, not by an orderly end.
void ResetAtClose(net::Connection* connection) {
  if (connection == nullptr || connection->fd() < 0) return;
  const linger now{1, 0};
  ::setsockopt(connection->fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

//   connecting ──OnTcpReady──▶ relaying ──both halves ended, error, idle──▶ over
//       └──OnTcpFailure: next attempt, or over
class TcpSession final : public ActiveConnection,
                         private TcpOpenCallbacks,
                         private runtime::Deferred {
 public:
  TcpSession(std::shared_ptr<const TcpShared> shared, Worker& worker, AcceptedConnection accepted);
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
  void ArmTimers();
  void OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) override;
  void OnTcpFailure(const OpenFailureInfo& failure) override;
  void EndAfter(OpenFailure failure);
  void Relay(Side& from);
  void OnSideClosed(Side& side, net::CloseReason reason);
  void OnIdle();
  void Finish(std::string_view flags);
  using Event = TcpSummary::Event;
  void Report(Event event);

  const std::shared_ptr<const TcpShared> shared_;
  const TcpProxyConfig* const config_;
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
  std::optional<runtime::Timer> log_timer_;
  ClusterId cluster_ = kNoId;
  const TcpProxyConfig::Target* target_ = nullptr;
  uint64_t bytes_received_ = 0;        // passed on to the upstream
  const Host* failed_host_ = nullptr;  // while its failure is dealt with
  uint32_t attempts_ = 0;
  bool is_connecting_ = false;
  bool is_over_ = false;
  std::string_view flags_ = "-";
  std::string failure_detail_;
};

TcpSession::TcpSession(std::shared_ptr<const TcpShared> shared, Worker& worker,
                       AcceptedConnection accepted)
    : shared_(std::move(shared)),
      config_(&shared_->config),
      worker_(worker),
      accepted_(std::move(accepted)),
      begin_(worker.loop().Now()),
      last_bytes_(begin_),
      idle_timer_(worker.loop(), [this] { OnIdle(); }) {
  cluster_ = ChooseCluster();
  downstream_.connection = accepted_.connection.get();
  shared_->counters.Count(worker, TcpCounter::kTotal);
  ArmTimers();
  Report(Event::kOpened);
  accepted_.connection->SetCallbacks(&downstream_);
  worker.loop().Defer(this);  // once accepted: an attempt may fail, and end this, at once
}

TcpSession::~TcpSession() {
  if (!is_over_) Report(Event::kEnded);  // cut by a drain or by the end of the process
}

void TcpSession::ArmTimers() {
  // Armed at once, also while the upstream is still being connected.
  if (config_->idle_timeout.count() > 0) idle_timer_.Arm(config_->idle_timeout);
  if (config_->connection_duration_max.count() > 0) {
    duration_timer_.emplace(worker_.loop(), [this] {
      shared_->counters.Count(worker_, TcpCounter::kDurationMax);
      Finish("DT");
    });
    const double jitter = config_->duration_jitter_percent / 100;
    const auto most = static_cast<uint64_t>(
        static_cast<double>(config_->connection_duration_max.count()) * jitter);
    duration_timer_->Arm(config_->connection_duration_max +
                         Duration(static_cast<int64_t>(worker_.random().Below(most + 1))));
  }
  if (config_->log_interval.count() > 0) {
    log_timer_.emplace(worker_.loop(), [this] {
      Report(Event::kPeriodic);
      log_timer_->Arm(config_->log_interval);
    });
    log_timer_->Arm(config_->log_interval);
  }
}

ClusterId TcpSession::ChooseCluster() {
  if (!accepted_.cluster_name.empty()) return worker_.upstreams().Find(accepted_.cluster_name);
  const auto& targets = config_->targets;
  target_ = &targets[0];
  if (targets.size() == 1) return targets[0].cluster;
  uint64_t sum = 0;
  for (const auto& target : targets) sum += target.weight;
  uint64_t point = worker_.random().Below(sum);
  for (const auto& target : targets) {
    target_ = &target;
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
  if (target_ != nullptr) context.subset = target_->subset;
  context.on_behalf = {&accepted_.remote, &accepted_.original_destination,
                       accepted_.proxy_header.get()};
  if (config_->hashes_source_ip) {
    context.hash = balance::HashKey(accepted_.remote.ip());
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
  if (config_->logs_connected) Report(Event::kConnected);
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
  if (failure.kind != OpenFailure::kOverflow) failed_host_ = failure.host;
  EndAfter(failure.kind);
  failed_host_ = nullptr;
}

void TcpSession::EndAfter(OpenFailure failure) {
  switch (failure) {
    case OpenFailure::kNoCluster:
      shared_->counters.Count(worker_, TcpCounter::kNoRoute);
      return Finish("NC");
    case OpenFailure::kNoHealthyHost:
      return Finish("UH");
    case OpenFailure::kOverflow:
      return Finish("UO");
    default:
      return Finish("UF,URX");  // as Envoy has it, also with a single attempt
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
    if (from.is_downstream) bytes_received_ += input.size();
    shared_->counters.Count(worker_, from.is_downstream ? TcpCounter::kReceived : TcpCounter::kSent,
                            input.size());
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
    if (reason == net::CloseReason::kReset) ResetAtClose(other.connection);
    return Finish("-");
  }
  side.is_closed = true;
  if (other.is_closed) return Finish("-");
  Relay(side);   // its last bytes
  Relay(other);  // drops what nobody reads
}

void TcpSession::OnIdle() {
  const Duration quiet = worker_.loop().Now() - last_bytes_;
  if (quiet >= config_->idle_timeout) {
    shared_->counters.Count(worker_, TcpCounter::kIdleTimeout);
    return Finish("-");
  }
  idle_timer_.Arm(config_->idle_timeout - quiet);
}

void TcpSession::Finish(std::string_view flags) {
  if (is_over_) return;
  is_over_ = true;
  flags_ = flags;
  idle_timer_.Disarm();
  if (duration_timer_) duration_timer_->Disarm();
  if (log_timer_) log_timer_->Disarm();
  pending_.reset();
  Report(Event::kEnded);
  worker_.End(*this);  // closes both connections
}

void TcpSession::Report(Event event) {
  const bool is_observed = event == Event::kOpened || event == Event::kEnded;
  const bool is_logged = event != Event::kOpened && !config_->logs.empty();
  const TcpObservers* listener_logs = accepted_.listener_logs.get();
  if ((!is_observed || config_->observers.empty()) && !is_logged && listener_logs == nullptr) {
    return;
  }
  TcpSummary summary;
  summary.event = event;
  summary.accepted = &accepted_;
  summary.cluster = worker_.upstreams().Info(cluster_);
  summary.host = request_ ? &request_.host() : failed_host_;
  if (upstream_connection_ != nullptr) {
    summary.upstream_local = &upstream_connection_->local_address();
    summary.upstream_tls = upstream_connection_->tls_peer();
  }
  summary.downstream_tls = accepted_.connection->tls_peer();
  summary.bytes_received = bytes_received_;
  summary.bytes_sent = accepted_.connection->bytes_sent();
  summary.duration = worker_.loop().Now() - begin_;
  summary.attempts = attempts_;
  summary.response_flags = flags_;
  summary.failure_detail = failure_detail_;
  summary.downstream_failure = accepted_.connection->tls_failure();
  if (is_observed) {
    for (const auto& observer : config_->observers) observer->Observe(worker_, summary);
  }
  if (is_logged) {
    for (const auto& log : config_->logs) log->Observe(worker_, summary);
  }
  if (listener_logs == nullptr || event != Event::kEnded) return;
  for (const auto& log : *listener_logs) log->Observe(worker_, summary);
}

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
