// SPDX-License-Identifier: Apache-2.0
// The listeners of one worker: accepts, finds where connections were meant to go, looks at their
// first bytes, chooses filter chains, terminates TLS, and keeps what is under way until it ends or
// drains. Worker-local.
//
//   accepted ─▶ original destination ─▶ hand-off by address ─▶ inspection (peek) ─▶ chain ─▶
//   handshake ─▶ handler
//
// Invariants:
//  1. An established connection keeps the filter chain it began with; only removal of that chain
//  drains it.
//  2. What is still before its handler counts as waiting, and waiting connections are bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/runtime/loop.h"
#include "lib/runtime/shared_count.h"
#include "proxy/listener/listener_config.h"
#include "proxy/listener/listener_counters.h"
#include "proxy/upstream/tls_counters.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

struct ListenerLimits {
  size_t connections_max = 100'000;  // per worker, established
  size_t waiting_max = 10'000;  // per worker, before their handler; beyond it accepts are closed
  Duration drain_time = std::chrono::seconds(600);  // Envoy's --drain-time-s
  // Of all workers (global_downstream_max_connections); 0 = none.
  uint64_t process_connections_max = 0;
  std::shared_ptr<runtime::SharedCount> process_connections;
};

class WorkerListeners final {
 public:
  // `registry` may be nullptr: nothing is counted then.
  WorkerListeners(Worker& worker, ListenerLimits limits, telemetry::Registry* registry);
  ~WorkerListeners();

  void Adopt(const Snapshot& snapshot);
  // Stops accepting on listeners of this direction (kUnspecified = all) and drains their
  // connections.
  void Drain(Direction direction, bool stops_accepting);
  void End(ActiveConnection& connection);
  // The worker's overload levels changed.
  void OnOverload();
  // Closes everything; before the worker's loop goes.
  void Stop();

  size_t active() const { return active_.size(); }
  uint64_t accepted() const { return accepted_; }

 private:
  class Acceptor;
  class HeldConnection;
  struct ConnectionRecord;
  class Waiting;
  // Destroyed from the last to the first: reports refer to the listener.
  struct Active {
    Active();
    Active(Active&&) noexcept;
    Active& operator=(Active&&) noexcept;
    ~Active();
    std::vector<std::shared_ptr<void>> holds;  // of limits
    std::shared_ptr<const CompiledListener> listener;
    ListenerCounters::Open open;
    const ChainHandler* handler = nullptr;  // the listener's
    std::unique_ptr<ActiveConnection> connection;
    std::unique_ptr<ConnectionRecord> record;  // for the listener's logs, where nobody else reports
    MonotonicTime drain_deadline{};            // zero: not draining
  };
  using ListenerPtr = std::shared_ptr<const CompiledListener>;

  void OnAccepted(ListenerPtr listener, Fd socket, const net::Address& remote);
  bool IsShed(const CompiledListener& listener);
  void PauseAcceptors();  // or resumes them, as the overload levels want
  // The listener that serves `destination`: exact address, then the wildcard of its family with
  // that port.
  ListenerPtr FindByAddress(const net::Address& destination) const;
  void ChooseChain(Waiting& waiting);
  void Establish(Waiting& waiting, const FilterChain& chain,
                 std::unique_ptr<net::Connection> connection);
  void Forget(Waiting& waiting);  // freed at the end of the pass
  // `failure`: of the client's TLS.
  void Refuse(Waiting& waiting, ListenerEvent why, std::string_view detail = "",
              std::string_view failure = "");
  void UpdateAcceptors(const Snapshot& snapshot);
  // False: a gate refused; the connection is closed, or held until its delay is over.
  bool PassGates(const FilterChain& chain, AcceptedConnection& accepted, Active& active);
  void Keep(Active active);
  void ReportRefused(Waiting& waiting, std::string_view flags, std::string_view detail,
                     std::string_view failure);
  void NoteOutOfDescriptors(const CompiledListener& listener);
  void DrainWhere(const std::function<bool(const Active&)>& is_leaving);
  void CutOverdue();

  Worker& worker_;
  const ListenerLimits limits_;
  ListenerCounters counters_;
  TlsCounters tls_counters_;
  absl::flat_hash_map<const ListenerSockets*, std::unique_ptr<Acceptor>> acceptors_;
  absl::flat_hash_map<std::string, ListenerPtr> by_address_;
  absl::flat_hash_map<Waiting*, std::unique_ptr<Waiting>> waiting_;
  std::vector<Active> active_;  // in no order; each connection knows its place
  runtime::Timer drain_timer_;
  uint64_t accepted_ = 0;
  MonotonicTime descriptors_logged_{};
};

}  // namespace meltemi::proxy
