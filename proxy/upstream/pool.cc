// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "proxy/upstream/host_state.h"

namespace meltemi::proxy {

void Pool::Link::Unlink() {
  next->previous = previous;
  previous->next = next;
  next = previous = this;
}

void Pool::Link::InsertBefore(Link& at) {
  next = &at;
  previous = at.previous;
  at.previous->next = this;
  at.previous = this;
}

// A request in line; the caller holds it and may give up at any time.
class Pool::Waiting final : public PendingOpen, public Link {
 public:
  Waiting(Pool& pool, http::StreamCallbacks& stream, StreamOpenCallbacks& callbacks)
      : stream_(stream), callbacks_(callbacks), pool_(&pool) {
    InsertBefore(pool.waiting_);
    ++pool.waiting_count_;
    pool.host_.AddPending();
  }
  ~Waiting() override {
    if (pool_ != nullptr) pool_->host_.cluster().stats().Count(ClusterStat::kCancelled);
    Leave();
  }
  // Out of line and out of the counts; answered or given up.
  void Leave() {
    if (pool_ == nullptr) return;
    Unlink();
    --pool_->waiting_count_;
    pool_->host_.RemovePending();
    std::exchange(pool_, nullptr)->host_.ReleaseIfUnused();
  }
  http::StreamCallbacks& stream() { return stream_; }
  StreamOpenCallbacks& callbacks() { return callbacks_; }

 private:
  http::StreamCallbacks& stream_;
  StreamOpenCallbacks& callbacks_;
  Pool* pool_;
};

//  connecting (raw_) ──OnConnected──▶ open (client_) ──GoAway, drain──▶ leaving ──closed──▶
//  forgotten
class Pool::PooledConnection final : private net::ConnectionCallbacks,
                                     private http::ClientConnectionCallbacks {
 public:
  PooledConnection(Pool& pool, std::unique_ptr<net::Connection> connection)
      : pool_(pool),
        raw_(std::move(connection)),
        idle_timer_(raw_->loop(), [this] { OnIdleTimer(); }) {
    ++pool_.connecting_;
    pool_.host_.cluster().counts().connections.Add();
    ClusterStats& stats = pool_.host_.cluster().stats();
    stats.Count(ClusterStat::kConnections);
    stats.Count(ClusterStat::kConnectionsActive);
    if (pool_.key_.protocol != UpstreamProtocol::kAuto) CountProtocol(pool_.key_.protocol);
    raw_->SetCallbacks(this);
  }
  // Out of the counts; the object itself lives to the end of the pass.
  void Uncount() {
    if (raw_) --pool_.connecting_;
    pool_.host_.cluster().counts().connections.Remove();
    pool_.host_.cluster().stats().CountClosed(close_reason);
  }

  bool is_open() const { return client_ != nullptr; }
  bool can_open() const { return client_ && !is_leaving_ && client_->can_open(); }
  http::ClientStream& OpenStream(http::StreamCallbacks& stream) {
    const uint32_t limit = pool_.host_.cluster().config().requests_per_connection_max;
    http::ClientStream& opened = client_->OpenStream(stream);
    if (limit != 0 && ++requests_ >= limit) {
      pool_.host_.cluster().stats().Count(ClusterStat::kMaxRequests);
      Leave();
    }
    return opened;
  }
  void Leave() {
    if (is_leaving_ || !client_) return;
    is_leaving_ = true;
    pool_.Withdraw(*this);
    client_->Drain();
  }
  bool is_usable = false;  // in the pool's usable_ list
  net::CloseReason close_reason = net::CloseReason::kLocal;

 private:
  void OnConnected() override {
    if (client_) return;  // the codec's own word that it is ready: said when it was made
    --pool_.connecting_;
    pool_.host_.CountConnected(*raw_);
    HostState::SendPreamble(*raw_, pool_.key_.preamble);
    const http::Protocol protocol = ChooseProtocol();
    if (pool_.key_.protocol == UpstreamProtocol::kAuto) {
      CountProtocol(protocol == http::Protocol::kHttp2 ? UpstreamProtocol::kHttp2
                                                       : UpstreamProtocol::kHttp1);
    }
    client_ = http::NewClientConnection(protocol, std::move(raw_), *this,
                                        pool_.host_.cluster().config().http_limits);
    ArmIdle();
    pool_.OnUsable(*this);
  }
  void CountProtocol(UpstreamProtocol protocol) {
    pool_.host_.cluster().stats().Count(protocol == UpstreamProtocol::kHttp2
                                            ? ClusterStat::kConnectionsHttp2
                                            : ClusterStat::kConnectionsHttp1);
  }
  http::Protocol ChooseProtocol() const {
    if (pool_.key_.protocol == UpstreamProtocol::kHttp2) return http::Protocol::kHttp2;
    if (pool_.key_.protocol == UpstreamProtocol::kHttp1) return http::Protocol::kHttp11;
    const net::TlsPeer* peer = raw_->tls_peer();
    return peer != nullptr && (peer->alpn == "h2" || peer->alpn == "istio-h2")
               ? http::Protocol::kHttp2
               : http::Protocol::kHttp11;
  }
  void OnInput() override {}  // nothing may come before a request; the codec judges it
  void OnClosed(net::CloseReason reason) override { pool_.OnConnectFailed(*this, reason); }

  void OnStreamsAvailable() override { pool_.OnUsable(*this); }
  void OnGoAway() override { Leave(); }
  void OnConnectionClosed(net::CloseReason reason) override {
    const net::Connection& connection = client_->connection();
    // A server of TLS 1.3 judges our certificate after our handshake is done.
    if (reason == net::CloseReason::kTlsFailed) {
      pool_.host_.CountTlsFailure(connection.tls_failure_kind());
    }
    // The codec closes when the peer has ended; whose end it was decides.
    close_reason = connection.input_ended() ? net::CloseReason::kRemoteEnd : reason;
    pool_.Forget(*this);
    if (pool_.waiting_count_ > 0) pool_.ConnectAsNeeded();
  }

  void ArmIdle() {
    Duration timeout = pool_.host_.cluster().config().idle_timeout;
    // One client's own connection: nobody else will ask for it when that client has gone.
    constexpr Duration kOwnIdleMax = std::chrono::seconds(10);
    const bool is_own = !pool_.key_.preamble.empty();
    if (is_own && (timeout.count() == 0 || timeout > kOwnIdleMax)) timeout = kOwnIdleMax;
    if (timeout.count() > 0) idle_timer_.Arm(timeout);
  }
  // Lazy: armed once per timeout, not per request. A connection used since is looked at again
  // later.
  void OnIdleTimer() {
    if (client_->active_streams() == 0 && requests_seen_ == opened_) {
      pool_.host_.cluster().stats().Count(ClusterStat::kIdleTimeout);
      client_->Drain();
      return;
    }
    requests_seen_ = opened_;
    ArmIdle();
  }

 public:
  void CountOpened() { ++opened_; }
  net::Connection* raw() { return raw_.get(); }

 private:
  Pool& pool_;
  std::unique_ptr<net::Connection> raw_;
  std::unique_ptr<http::ClientConnection> client_;
  runtime::Timer idle_timer_;
  uint32_t requests_ = 0;
  uint64_t opened_ = 0;
  uint64_t requests_seen_ = 0;
  bool is_leaving_ = false;
};

Pool::Pool(HostState& host, PoolKey key) : host_(host), key_(std::move(key)) {}

Pool::~Pool() = default;

std::unique_ptr<PendingOpen> Pool::Open(http::StreamCallbacks& stream,
                                        StreamOpenCallbacks& callbacks) {
  const Breakers& breakers = host_.cluster().config().breakers;
  Counts& counts = host_.cluster().counts();
  if (counts.requests.IsMet(breakers.requests_max)) {
    host_.cluster().stats().Count(ClusterStat::kPendingOverflow);
    callbacks.OnStreamFailure({OpenFailure::kOverflow, &host_, "max_requests"});
    return nullptr;
  }
  if (waiting_count_ == 0) {
    if (PooledConnection* connection = FindUsable()) {
      Attach(*connection, stream, callbacks);
      return nullptr;
    }
  }
  if (counts.pending.IsMet(breakers.pending_max)) {
    host_.cluster().stats().Count(ClusterStat::kPendingOverflow);
    callbacks.OnStreamFailure({OpenFailure::kOverflow, &host_, "max_pending_requests"});
    return nullptr;
  }
  auto waiting = std::make_unique<Waiting>(*this, stream, callbacks);
  ConnectAsNeeded();
  if (connections_.empty()) {
    waiting->Leave();
    callbacks.OnStreamFailure({OpenFailure::kConnectFailed, &host_, host_.connect_error()});
    return nullptr;
  }
  return waiting;
}

Pool::PooledConnection* Pool::FindUsable() {
  while (!usable_.empty()) {
    PooledConnection* last = usable_.back();
    if (last->can_open()) return last;
    last->is_usable = false;
    usable_.pop_back();
  }
  return nullptr;
}

void Pool::Withdraw(PooledConnection& connection) {
  if (!connection.is_usable) return;
  connection.is_usable = false;
  usable_.erase(std::find(usable_.begin(), usable_.end(), &connection));
}

void Pool::Attach(PooledConnection& connection, http::StreamCallbacks& stream,
                  StreamOpenCallbacks& callbacks) {
  connection.CountOpened();
  http::ClientStream& opened = connection.OpenStream(stream);
  if (!connection.can_open()) Withdraw(connection);
  callbacks.OnStreamReady(opened, host_.BeginRequest());
}

void Pool::OnUsable(PooledConnection& connection) {
  if (!connection.is_usable && connection.can_open()) {
    connection.is_usable = true;
    usable_.push_back(&connection);
  }
  AttachWaiting(connection);
  if (waiting_count_ > 0) ConnectAsNeeded();
  if (host_.is_removed() && waiting_count_ == 0) connection.Leave();
}

void Pool::AttachWaiting(PooledConnection& connection) {
  while (!waiting_.is_alone() && connection.can_open()) {
    Waiting& first = static_cast<Waiting&>(*waiting_.next);
    http::StreamCallbacks& stream = first.stream();
    StreamOpenCallbacks& callbacks = first.callbacks();
    first.Leave();  // the callback may destroy it
    Attach(connection, stream, callbacks);
  }
}

void Pool::ConnectAsNeeded() {
  const size_t streams_each = key_.protocol == UpstreamProtocol::kHttp2
                                  ? host_.cluster().config().http_limits.streams_max
                                  : 1;
  const uint32_t limit = host_.cluster().config().breakers.connections_max;
  while (connecting_ * streams_each < waiting_count_) {
    if (host_.cluster().counts().connections.IsMet(limit) && !connections_.empty()) {
      host_.cluster().stats().Count(ClusterStat::kConnectionsOverflow);
      return;
    }
    if (!StartConnection()) return;
  }
}

bool Pool::StartConnection() {
  auto socket = host_.Connect(key_.alpn, key_.server_name, key_.preamble);
  if (socket == nullptr) return false;
  auto connection = std::make_unique<PooledConnection>(*this, std::move(socket));
  PooledConnection* key = connection.get();
  connections_.emplace(key, std::move(connection));
  return true;
}

void Pool::FailWaiting(OpenFailure kind, std::string_view detail) {
  // Those in line now; a callback that tries again here stands behind them.
  Link failed;
  while (!waiting_.is_alone()) {
    Link* first = waiting_.next;
    first->Unlink();
    first->InsertBefore(failed);
  }
  while (!failed.is_alone()) {
    Waiting& first = static_cast<Waiting&>(*failed.next);
    StreamOpenCallbacks& callbacks = first.callbacks();
    first.Leave();
    host_.cluster().stats().Count(ClusterStat::kPendingFailed);
    callbacks.OnStreamFailure({kind, &host_, detail});
  }
}

void Pool::OnConnectFailed(PooledConnection& connection, net::CloseReason reason) {
  host_.CountFailed(*connection.raw(), reason);
  connection.close_reason = reason;
  const std::string detail(reason == net::CloseReason::kTlsFailed ? connection.raw()->tls_failure()
                                                                  : CloseReasonText(reason));
  Forget(connection);  // first: a try made inside a callback below must not count on it
  // Everything in line fails with it, as in Envoy: the host is most likely gone, and retries go
  // elsewhere.
  FailWaiting(FailureOf(reason), detail);
}

void Pool::Forget(PooledConnection& connection) {
  Withdraw(connection);
  auto found = connections_.find(&connection);
  if (found == connections_.end()) return;
  std::shared_ptr<PooledConnection> last = std::move(found->second);
  connections_.erase(found);
  last->Uncount();
  host_.loop().DeferDelete(std::move(last));
  host_.ReleaseIfUnused();
}

void Pool::DrainConnections() {
  std::vector<PooledConnection*> open;
  for (const auto& [connection, owner] : connections_) {
    if (connection->is_open()) open.push_back(connection);
  }
  for (PooledConnection* connection : open) connection->Leave();
}

}  // namespace meltemi::proxy
