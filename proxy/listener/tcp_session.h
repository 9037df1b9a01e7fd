// SPDX-License-Identifier: Apache-2.0
// One connection through the TCP proxy: from its acceptance to its log line. Worker-local.
//
//   connecting ──upstream is there──▶ relaying ──both halves ended, error, idle──▶ over
//       └──no upstream: next attempt, or over
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/runtime/loop.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/listener/tcp_counters.h"
#include "proxy/listener/tcp_end.h"
#include "proxy/listener/tcp_proxy.h"
#include "proxy/listener/tcp_tunnel.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

struct TcpShared {
  TcpProxyConfig config;
  TcpCounters counters;
};

class TcpSession final : public ActiveConnection,
                         private TcpOpenCallbacks,
                         private Tunnel::Callbacks,
                         private TcpEnd::Owner,
                         private runtime::Deferred {
 public:
  TcpSession(std::shared_ptr<const TcpShared> shared, Worker& worker, AcceptedConnection accepted);
  ~TcpSession() override;
  void Drain() override {}  // there is nothing to tell; the deadline cuts it

 private:
  // One end of the pair.
  struct Side {
    TcpEnd* end = nullptr;
    bool has_ended = false;  // its end was passed on
    bool is_closed = false;  // both halves done; what it sent may still wait
  };
  bool is_downstream(const TcpEnd& end) const { return &end == downstream_.end; }
  Side& SideOf(const TcpEnd& end) { return is_downstream(end) ? downstream_ : upstream_; }
  Side& Other(const Side& side) { return &side == &downstream_ ? upstream_ : downstream_; }

  TcpEnd::Owner& owner() { return *this; }
  void RunDeferred() override { Connect(); }
  void Connect();
  ClusterId ChooseCluster();
  PickContext MakePickContext() const;
  void ArmTimers();

  void OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) override;
  void OnTcpFailure(const OpenFailureInfo& failure) override;
  bool WriteTunnelRequest(Arena& arena, http::RequestHead& head) override;
  void OnTunnelReady(ActiveRequest request) override;
  void OnTunnelFailure(const OpenFailureInfo& failure) override { OnTcpFailure(failure); }
  void BeginRelaying(TcpEnd& upstream, ActiveRequest request);
  void EndAfter(OpenFailure failure);

  void OnEndInput(TcpEnd& end) override { Relay(SideOf(end)); }
  void OnEndWritable(TcpEnd& end) override { Relay(Other(SideOf(end))); }
  void OnEndClosed(TcpEnd& end, net::CloseReason reason) override;
  void Relay(Side& from);
  void Pass(Side& from, Side& to);
  void NoteTlsFailure();

  void OnIdle();
  void Finish(std::string_view flags);
  using Event = TcpSummary::Event;
  TcpSummary Summarize(Event event) const;
  void Report(Event event);

  const std::shared_ptr<const TcpShared> shared_;
  const TcpProxyConfig* const config_;
  Worker& worker_;
  AcceptedConnection accepted_;
  std::optional<ConnectionEnd> client_;
  Side downstream_, upstream_;
  std::unique_ptr<net::Connection> upstream_connection_;
  std::optional<ConnectionEnd> server_;
  ActiveRequest request_;
  std::unique_ptr<PendingOpen> pending_;
  std::unique_ptr<Tunnel> tunnel_;  // instead of upstream_connection_
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

}  // namespace meltemi::proxy
