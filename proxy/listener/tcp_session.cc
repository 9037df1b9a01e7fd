// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_session.h"

#include <sys/socket.h>

#include <utility>

#include "lib/balance/balancer.h"

namespace meltemi::proxy {
namespace {

// A client that goes on sending after its tunnel is over is read and dropped for so long.
constexpr Duration kLinger = std::chrono::seconds(1);

// The peer of a connection that was reset learns so by a reset, not by an orderly end.
void ResetAtClose(TcpEnd* end) {
  net::Connection* const connection = end != nullptr ? end->own_connection() : nullptr;
  if (connection == nullptr || connection->fd() < 0) return;
  const linger now{1, 0};
  ::setsockopt(connection->fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

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
  shared_->counters.Count(worker, TcpCounter::kTotal);
  ArmTimers();
  Report(Event::kOpened);
  downstream_.end = &client_.emplace(owner(), *accepted_.connection);
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

PickContext TcpSession::MakePickContext() const {
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
  return context;
}

void TcpSession::Connect() {
  ++attempts_;
  const PickContext context = MakePickContext();
  if (config_->tunnel != nullptr) {
    if (tunnel_ == nullptr) {
      tunnel_ = std::make_unique<Tunnel>(worker_, *config_->tunnel, owner(),
                                         static_cast<Tunnel::Callbacks&>(*this));
    }
    return tunnel_->Open(cluster_, context);
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
  BeginRelaying(server_.emplace(owner(), *upstream_connection_), std::move(request));
}

bool TcpSession::WriteTunnelRequest(Arena& arena, http::RequestHead& head) {
  return config_->tunnel->Write(worker_, Summarize(Event::kOpened), arena, head);
}

void TcpSession::OnTunnelReady(ActiveRequest request) {
  if (!is_over_) BeginRelaying(*tunnel_, std::move(request));
}

void TcpSession::BeginRelaying(TcpEnd& upstream, ActiveRequest request) {
  upstream_.end = &upstream;
  request_ = std::move(request);
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
      --attempts_;  // there was nothing to try
      shared_->counters.Count(worker_, TcpCounter::kNoRoute);
      return Finish("NC");
    case OpenFailure::kNoHealthyHost:
      --attempts_;
      return Finish("UH");
    case OpenFailure::kOverflow:
      return Finish("UO");
    default:
      return Finish("UF,URX");  // as Envoy has it, also with a single attempt
  }
}

void TcpSession::Relay(Side& from) {
  Side& to = Other(from);
  if (is_over_ || from.end == nullptr || to.end == nullptr) return;
  Pass(from, to);
  if (!from.end->Peek().empty()) return;  // OnEndWritable comes back here
  if (from.end->input_ended() && !from.has_ended) {
    from.has_ended = true;
    if (!to.is_closed) to.end->EndOutput();
  }
  const bool may_read = !from.is_closed && !from.has_ended && !to.end->is_full();
  if (may_read) from.end->ResumeReading();
}

void TcpSession::Pass(Side& from, Side& to) {
  for (;;) {
    const std::string_view bytes = from.end->Peek();
    if (bytes.empty()) return;
    last_bytes_ = worker_.loop().Now();
    // Where nobody is left to read it, it is dropped.
    const size_t taken = to.is_closed ? bytes.size() : to.end->Send(bytes);
    const bool is_up = &from == &downstream_;
    if (!to.is_closed) {
      if (is_up) bytes_received_ += taken;
      shared_->counters.Count(worker_, is_up ? TcpCounter::kReceived : TcpCounter::kSent, taken);
    }
    const bool is_all = taken == bytes.size();
    if (taken > 0) from.end->Consume(taken);
    if (!is_all) return;
  }
}

void TcpSession::OnEndClosed(TcpEnd& end, net::CloseReason reason) {
  if (is_over_) return;
  Side& side = SideOf(end);
  Side& other = Other(side);
  if (reason == net::CloseReason::kTlsFailed && &side == &upstream_) NoteTlsFailure();
  if (reason != net::CloseReason::kRemoteEnd || other.end == nullptr) {
    if (reason == net::CloseReason::kReset) ResetAtClose(other.end);
    return Finish("-");
  }
  side.is_closed = true;
  if (other.is_closed) return Finish("-");
  Relay(side);   // its last bytes
  Relay(other);  // drops what nobody reads
  // A tunnel may be over before its client has said all.
  if (!is_over_ && tunnel_ != nullptr && &side == &upstream_ && !other.has_ended) {
    accepted_.connection->CloseAfterFlush(kLinger);
  }
}

// A TLS 1.3 server judges our certificate when the handshake is done for us.
void TcpSession::NoteTlsFailure() {
  const net::Connection* connection = upstream_connection_.get();
  if (connection == nullptr || !request_) return;
  failure_detail_ = std::string(connection->tls_failure());
  request_.host().CountTlsFailure(connection->tls_failure_kind());
}

void TcpSession::OnIdle() {
  const Duration quiet = worker_.loop().Now() - last_bytes_;
  if (quiet >= config_->idle_timeout) {
    shared_->counters.Count(worker_, TcpCounter::kIdleTimeout);
    const bool is_asking = tunnel_ != nullptr && upstream_.end == nullptr;
    return Finish(is_asking ? "UF" : "-");
  }
  idle_timer_.Arm(config_->idle_timeout - quiet);
}

void TcpSession::Finish(std::string_view flags) {
  if (is_over_) return;
  is_over_ = true;
  // As in Envoy, a failed attempt is told of also where a later one succeeded.
  const bool has_failed = attempts_ > 1 && upstream_.end != nullptr;
  flags_ = has_failed && flags == "-" ? "UF" : flags;
  idle_timer_.Disarm();
  if (duration_timer_) duration_timer_->Disarm();
  if (log_timer_) log_timer_->Disarm();
  pending_.reset();
  Report(Event::kEnded);
  worker_.End(*this);  // closes both ends
}

TcpSummary TcpSession::Summarize(Event event) const {
  TcpSummary summary;
  summary.event = event;
  summary.accepted = &accepted_;
  summary.cluster = worker_.upstreams().Info(cluster_);
  summary.host = request_ ? &request_.host() : failed_host_;
  if (upstream_.end != nullptr) {
    summary.upstream_local = upstream_.end->local_address();
    summary.upstream_tls = upstream_.end->tls_peer();
  }
  summary.downstream_tls = accepted_.connection->tls_peer();
  summary.bytes_received = bytes_received_;
  summary.bytes_sent = accepted_.connection->bytes_sent();
  summary.duration = worker_.loop().Now() - begin_;
  summary.attempts = attempts_;
  summary.response_flags = flags_;
  summary.failure_detail = failure_detail_;
  summary.downstream_failure = accepted_.connection->tls_failure();
  if (tunnel_ != nullptr) {
    if (summary.host == nullptr) summary.host = tunnel_->host();
    summary.tunnel_headers = tunnel_->response_headers();
    summary.tunnel_trailers = tunnel_->response_trailers();
  }
  return summary;
}

void TcpSession::Report(Event event) {
  const bool is_observed = event == Event::kOpened || event == Event::kEnded;
  const bool is_logged = event != Event::kOpened && !config_->logs.empty();
  const TcpObservers* listener_logs = accepted_.listener_logs.get();
  if ((!is_observed || config_->observers.empty()) && !is_logged && listener_logs == nullptr) {
    return;
  }
  const TcpSummary summary = Summarize(event);
  if (is_observed) {
    for (const auto& observer : config_->observers) observer->Observe(worker_, summary);
  }
  if (is_logged) {
    for (const auto& log : config_->logs) log->Observe(worker_, summary);
  }
  if (listener_logs == nullptr || event != Event::kEnded) return;
  for (const auto& log : *listener_logs) log->Observe(worker_, summary);
}

}  // namespace meltemi::proxy
