// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/worker_listeners.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/waiting.h"

namespace meltemi::proxy {

// What the logs of a listener tell of a connection whose handler reports nothing to them.
struct WorkerListeners::ConnectionRecord {
  ConnectionRecord(Worker& of, const AcceptedConnection& from)
      : worker(of), begin(of.loop().Now()) {
    accepted.original_destination = from.original_destination;
    accepted.remote = from.remote;
    accepted.direct_remote = from.direct_remote;
    accepted.proxy_header = from.proxy_header;
    accepted.listener_name = from.listener_name;
    accepted.filter_chain_name = from.filter_chain_name;
    accepted.direction = from.direction;
    accepted.is_tls = from.is_tls;
    accepted.server_name = from.server_name;
    accepted.listener_logs = from.listener_logs;
  }
  ~ConnectionRecord() {
    TcpSummary summary;
    summary.accepted = &accepted;
    summary.duration = worker.loop().Now() - begin;
    summary.response_flags = flags;
    summary.termination_detail = detail;
    summary.downstream_failure = failure;
    if (transport != nullptr) {
      summary.downstream_tls = transport->tls_peer();
      summary.downstream_failure = transport->tls_failure();
    }
    for (const auto& log : *accepted.listener_logs) log->Observe(worker, summary);
  }
  Worker& worker;
  const MonotonicTime begin;
  AcceptedConnection accepted;
  std::string flags = "-", detail, failure;
  const net::Connection* transport = nullptr;  // once a handler has it
};

// Refused, but kept unread for a while, so that a client that comes again at once is slowed down.
class WorkerListeners::HeldConnection final : public ActiveConnection {
 public:
  HeldConnection(Worker& worker, std::unique_ptr<net::Connection> connection, Duration delay)
      : connection_(std::move(connection)),
        timer_(worker.loop(), [this, &worker] { worker.End(*this); }) {
    timer_.Arm(delay);
  }
  void Drain() override {}

 private:
  const std::unique_ptr<net::Connection> connection_;
  runtime::Timer timer_;
};

// The socket of one address on this worker.
class WorkerListeners::Acceptor final {
 public:
  Acceptor(WorkerListeners& owner, ListenerPtr listener, std::shared_ptr<ListenerSockets> sockets)
      : owner_(owner), listener_(std::move(listener)), sockets_(std::move(sockets)) {
    UpdateWatch();
  }
  void set_listener(ListenerPtr listener) { listener_ = std::move(listener); }
  const ListenerPtr& listener() const { return listener_; }
  void StopAccepting() {  // for good
    is_stopped_ = true;
    UpdateWatch();
  }
  void SetPaused(bool is_paused) {
    is_paused_ = is_paused;
    UpdateWatch();
  }

 private:
  struct Watch final : private runtime::FdHandler {
    Watch(Acceptor& of, int socket)
        : acceptor(of), fd(socket), pause(loop(), [this] { Accept(); }) {
      (void)loop().Watch(fd, this);
    }
    ~Watch() { loop().Unwatch(fd, this); }
    runtime::Loop& loop() { return acceptor.owner_.worker_.loop(); }
    void OnReady(runtime::Ready) override { Accept(); }
    void Accept();

    Acceptor& acceptor;
    const int fd;
    runtime::Timer pause;
  };

  void UpdateWatch() {
    if (is_stopped_ || is_paused_) {
      watch_.reset();
    } else if (watch_ == nullptr) {
      watch_ = std::make_unique<Watch>(*this, sockets_->of(owner_.worker_.index()));
    }
  }

  WorkerListeners& owner_;
  ListenerPtr listener_;
  const std::shared_ptr<ListenerSockets> sockets_;
  std::unique_ptr<Watch> watch_;
  bool is_stopped_ = false;
  bool is_paused_ = false;
};

void WorkerListeners::Acceptor::Watch::Accept() {
  // A burst of new connections must not keep established ones waiting.
  for (size_t i = 0; i < acceptor.listener_->accepts_per_event; ++i) {
    sockaddr_storage storage;
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    Fd socket(::accept4(fd, address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      acceptor.owner_.OnAccepted(acceptor.listener_, std::move(socket),
                                 net::Address::FromSockaddr(address, length));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause.Arm(std::chrono::milliseconds(100));  // no event tells when there is room again
      acceptor.owner_.NoteOutOfDescriptors(*acceptor.listener_);
      return;
    }
    // The peer gave up in the queue (ECONNABORTED and the like): the next may be well.
  }
  loop().Rearm(fd, this);
}

WorkerListeners::WorkerListeners(Worker& worker, ListenerLimits limits,
                                 telemetry::Registry* registry)
    : worker_(worker),
      limits_(limits),
      counters_(registry, worker.recorder()),
      tls_counters_(TlsCounters::Side::kListener, registry, worker.recorder()),
      drain_timer_(worker.loop(), [this] { CutOverdue(); }) {}

WorkerListeners::~WorkerListeners() = default;

WorkerListeners::Active::Active() = default;
WorkerListeners::Active::Active(Active&&) noexcept = default;
WorkerListeners::Active& WorkerListeners::Active::operator=(Active&&) noexcept = default;
WorkerListeners::Active::~Active() = default;

// Once a minute: a full table would fill the disk with lines next.
void WorkerListeners::NoteOutOfDescriptors(const CompiledListener& listener) {
  constexpr Duration kLogInterval = std::chrono::minutes(1);
  counters_.Count(ListenerEvent::kOutOfDescriptors, listener.stat_name);
  const MonotonicTime now = worker_.loop().Now();
  if (descriptors_logged_ != MonotonicTime{} && now - descriptors_logged_ < kLogInterval) return;
  descriptors_logged_ = now;
  MELTEMI_LOG(warn,
              "listener {}: out of descriptors; connections wait in the kernel's queue (raise "
              "RLIMIT_NOFILE, or lower the number of connections)",
              listener.name);
}

void WorkerListeners::OnAccepted(ListenerPtr listener, Fd socket, const net::Address& remote) {
  ++accepted_;
  if (active_.size() >= limits_.connections_max || waiting_.size() >= limits_.waiting_max) {
    counters_.Count(ListenerEvent::kOverflow, listener->stat_name);
    return;
  }
  if (IsShed(*listener)) {
    counters_.Count(ListenerEvent::kOverloadReject, listener->stat_name);
    return;
  }
  std::shared_ptr<void> unit;
  if (limits_.process_connections_max > 0 && !listener->ignores_global_limit) {
    unit = runtime::SharedCount::Take(limits_.process_connections, limits_.process_connections_max);
    if (unit == nullptr) {
      counters_.Count(ListenerEvent::kGlobalOverflow, listener->stat_name);
      return;
    }
  }
  auto owned = std::make_unique<Waiting>(*this, std::move(listener), std::move(socket), remote);
  owned->unit = std::move(unit);
  Waiting& waiting = *owned;
  waiting_.emplace(&waiting, std::move(owned));
  if (waiting.Begin()) ChooseChain(waiting);
}

bool WorkerListeners::IsShed(const CompiledListener& listener) {
  const OverloadLevels& overload = worker_.overload();
  if (!overload.is_any() || listener.bypasses_overload) return false;
  return overload.Chooses(OverloadLever::kRejectIncomingConnections, worker_.random()) ||
         overload.Chooses(OverloadLever::kTcpListenerAccept, worker_.random());
}

void WorkerListeners::PauseAcceptors() {
  const bool is_paused = worker_.overload().is_full(OverloadLever::kStopAcceptingConnections);
  for (const auto& [sockets, acceptor] : acceptors_) {
    acceptor->SetPaused(is_paused && !acceptor->listener()->bypasses_overload);
  }
}

void WorkerListeners::OnOverload() {
  PauseAcceptors();
  std::vector<ActiveConnection*> connections;  // some may end while they are told
  for (const Active& active : active_) {
    if (!active.listener->bypasses_overload) connections.push_back(active.connection.get());
  }
  for (ActiveConnection* connection : connections) connection->OnOverload();
}

WorkerListeners::ListenerPtr WorkerListeners::FindByAddress(const net::Address& destination) const {
  if (auto found = by_address_.find(destination.text()); found != by_address_.end()) {
    return found->second;
  }
  const bool is_v6 = destination.family() == AF_INET6;
  const std::string port = std::to_string(destination.port());
  auto found = by_address_.find((is_v6 ? "[::]:" : "0.0.0.0:") + port);
  if (found == by_address_.end() && !is_v6) found = by_address_.find("[::]:" + port);
  return found == by_address_.end() ? nullptr : found->second;
}

void WorkerListeners::ChooseChain(Waiting& waiting) {
  const CompiledListener& listener = *waiting.listener();
  int index = listener.matcher->Find(waiting.query());
  if (index < 0) index = listener.default_chain;
  if (index < 0) return Refuse(waiting, ListenerEvent::kNoMatch, "filter_chain_not_found");
  waiting.open = ListenerCounters::Open(counters_, listener.stat_name);
  waiting.Take(listener.chains[static_cast<size_t>(index)]);
}

void WorkerListeners::Establish(Waiting& waiting, const FilterChain& chain,
                                std::unique_ptr<net::Connection> connection) {
  Active active;
  active.listener = waiting.listener();
  active.handler = chain.handler.get();
  active.open = std::move(waiting.open);
  if (waiting.unit != nullptr) active.holds.push_back(std::move(waiting.unit));
  AcceptedConnection accepted = waiting.Describe(chain, std::move(connection));
  if (accepted.listener_logs != nullptr && !chain.handler->reports_connections()) {
    active.record = std::make_unique<ConnectionRecord>(worker_, accepted);
  }
  if (chain.gates.empty() || PassGates(chain, accepted, active)) {
    active.connection = chain.handler->Accept(worker_, std::move(accepted));
    Keep(std::move(active));
  }
  Forget(waiting);
}

bool WorkerListeners::PassGates(const FilterChain& chain, AcceptedConnection& accepted,
                                Active& active) {
  for (const auto& gate : chain.gates) {
    ConnectionGate::Verdict verdict = gate->Judge(worker_, accepted);
    if (verdict.is_passed) {
      if (verdict.hold != nullptr) active.holds.push_back(std::move(verdict.hold));
      continue;
    }
    if (active.record != nullptr) active.record->detail = verdict.detail;
    chain.handler->OnRefused(worker_, accepted, verdict.detail);
    if (verdict.delay > Duration::zero()) {
      active.connection =
          std::make_unique<HeldConnection>(worker_, std::move(accepted.connection), verdict.delay);
      Keep(std::move(active));
    }
    return false;
  }
  return true;
}

void WorkerListeners::Keep(Active active) {
  if (active.connection == nullptr) return;
  active.connection->place_ = static_cast<uint32_t>(active_.size());
  if (active.record != nullptr) active.record->transport = active.connection->transport();
  active_.push_back(std::move(active));
}

void WorkerListeners::Forget(Waiting& waiting) {
  auto found = waiting_.find(&waiting);
  if (found == waiting_.end()) return;
  std::shared_ptr<Waiting> last = std::move(found->second);
  waiting_.erase(found);
  last->Abandon();
  worker_.loop().DeferDelete(std::move(last));
}

void WorkerListeners::Refuse(Waiting& waiting, ListenerEvent why, std::string_view detail,
                             std::string_view failure) {
  counters_.Count(why, waiting.listener()->stat_name);
  if (waiting.listener()->access_logs != nullptr) {
    const char* flags = why == ListenerEvent::kNoMatch ? "NR" : "-";
    ReportRefused(waiting, flags, detail, failure);
  }
  Forget(waiting);
}

void WorkerListeners::ReportRefused(Waiting& waiting, std::string_view flags,
                                    std::string_view detail, std::string_view failure) {
  static const FilterChain none;
  ConnectionRecord record(worker_, waiting.Describe(none, nullptr));
  record.flags = flags;
  record.detail = detail;
  record.failure = failure;
}

void WorkerListeners::End(ActiveConnection& connection) {
  const uint32_t place = std::exchange(connection.place_, UINT32_MAX);
  if (place >= active_.size()) return;  // it has ended before
  auto last = std::make_shared<Active>(std::move(active_[place]));
  if (place + 1 < active_.size()) {
    active_[place] = std::move(active_.back());
    active_[place].connection->place_ = place;
  }
  active_.pop_back();
  worker_.loop().DeferDelete(std::move(last));
}

void WorkerListeners::Adopt(const Snapshot& snapshot) {
  UpdateAcceptors(snapshot);
  by_address_.clear();
  absl::flat_hash_map<std::string_view, const CompiledListener*> by_name;
  for (const ListenerPtr& listener : snapshot.listeners) {
    by_name.emplace(listener->name, listener.get());
    by_address_.emplace(listener->address.text(), listener);
    for (const net::Address& more : listener->more_addresses)
      by_address_.emplace(more.text(), listener);
  }
  DrainWhere([&](const Active& active) {
    const auto found = by_name.find(active.listener->name);
    if (found == by_name.end()) return true;
    const auto& chains = found->second->chains;
    return std::none_of(chains.begin(), chains.end(), [&](const FilterChain& chain) {
      return chain.handler.get() == active.handler;
    });
  });
}

void WorkerListeners::UpdateAcceptors(const Snapshot& snapshot) {
  absl::flat_hash_map<const ListenerSockets*, std::unique_ptr<Acceptor>> next;
  for (const ListenerPtr& listener : snapshot.listeners) {
    for (const auto& sockets : listener->sockets) {
      auto found = acceptors_.find(sockets.get());
      if (found == acceptors_.end()) {
        next.emplace(sockets.get(), std::make_unique<Acceptor>(*this, listener, sockets));
      } else {
        found->second->set_listener(listener);
        next.emplace(sockets.get(), std::move(found->second));
      }
    }
  }
  acceptors_ = std::move(next);
  PauseAcceptors();
}

void WorkerListeners::Drain(Direction direction, bool stops_accepting) {
  const auto is_meant = [direction](const CompiledListener& listener) {
    return direction == Direction::kUnspecified || listener.direction == direction;
  };
  if (stops_accepting) {
    for (const auto& [sockets, acceptor] : acceptors_) {
      if (is_meant(*acceptor->listener())) acceptor->StopAccepting();
    }
  }
  DrainWhere([&](const Active& active) { return is_meant(*active.listener); });
}

void WorkerListeners::DrainWhere(const std::function<bool(const Active&)>& is_leaving) {
  std::vector<ActiveConnection*> leaving;
  for (Active& active : active_) {
    if (active.drain_deadline != MonotonicTime{} || !is_leaving(active)) continue;
    active.drain_deadline = worker_.loop().Now() + limits_.drain_time;
    leaving.push_back(active.connection.get());
  }
  for (ActiveConnection* connection : leaving) connection->Drain();
  if (!leaving.empty() && !drain_timer_.is_armed()) drain_timer_.Arm(limits_.drain_time);
}

void WorkerListeners::CutOverdue() {
  MonotonicTime next{};
  std::vector<ActiveConnection*> overdue;
  for (const Active& active : active_) {
    if (active.drain_deadline == MonotonicTime{}) continue;
    if (active.drain_deadline <= worker_.loop().Now()) {
      overdue.push_back(active.connection.get());
    } else if (next == MonotonicTime{} || active.drain_deadline < next) {
      next = active.drain_deadline;
    }
  }
  for (ActiveConnection* connection : overdue) End(*connection);
  if (next != MonotonicTime{}) drain_timer_.Arm(next - worker_.loop().Now());
}

void WorkerListeners::Stop() {
  acceptors_.clear();
  waiting_.clear();
  std::vector<Active>().swap(active_);  // whoever reports its end meanwhile finds no place
  drain_timer_.Disarm();
}

}  // namespace meltemi::proxy
