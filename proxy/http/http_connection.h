// SPDX-License-Identifier: Apache-2.0
// A client's connection that carries HTTP: finds the protocol out, owns the codec and the exchanges
// under way. Worker-local. The connection dies when its codec says so. Most connections are idle
// most of the time, so what a request needs comes from the worker (worker_http.h) with it.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "lib/http/connection.h"
#include "lib/runtime/loop.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http_stats.h"
#include "proxy/http/worker_http.h"
#include "proxy/listener/chain_handler.h"

namespace meltemi::proxy {

class HttpConnection final : public ActiveConnection,
                             private net::ConnectionCallbacks,
                             private http::ServerConnectionCallbacks,
                             private ExchangeOwner {
 public:
  HttpConnection(Worker& worker, const HttpOptions& options, HttpStats& stats,
                 AcceptedConnection accepted);
  ~HttpConnection() override;

  void Drain() override;
  void OnOverload() override;
  const net::Connection* transport() const override { return transport_; }

 private:
  static constexpr size_t kMirrorsMax = 64;

  // net::ConnectionCallbacks, until the protocol is known
  void OnInput() override;
  void OnClosed(net::CloseReason reason) override;
  // http::ServerConnectionCallbacks
  void OnStream(http::ServerStream& stream) override;
  std::string_view FillRefusal(http::ResponseHead& head, std::string_view detail) override;
  void OnProtocolError(std::string_view detail) override;
  void OnConnectionClosed() override;
  // ExchangeOwner
  const HttpOptions& options() const override { return options_; }
  const DownstreamFacts& downstream() override { return facts_; }
  const std::shared_ptr<const RoutePin>& pin() override { return worker_.http().PinOf(options_); }
  HttpDate& date() override { return worker_.http().date(); }
  std::shared_ptr<const RoutePin> PinFor(const http::RequestHead& head) override;
  HttpStats& stats() override { return stats_; }
  bool ShedsRequest() override;
  std::shared_ptr<MirrorStream> StartMirror(const StreamInfo& info, const routing::Mirror& mirror,
                                            bool end_stream) override;
  void OnExchangeOver(Exchange& exchange) override;
  void EndWithResponse() override;

  void LearnAddresses(AcceptedConnection& accepted);
  void Begin(http::Protocol protocol);
  void FillRefusalInfo(StreamInfo& info, std::string_view detail);
  void LearnTls(const net::Connection& connection);
  // Overload acts on this connection now.
  bool is_pressed() const { return worker_.overload().is_any() && !bypasses_overload_; }
  Duration Scaled(ScaledTimer timer, Duration full) const {
    return bypasses_overload_ ? full : worker_.overload().Scaled(timer, full);
  }
  void DrainIfPressed();
  void OnIdle();
  void ArmIdleTimer();
  void End();

  Worker& worker_;
  const HttpOptions& options_;
  HttpStats& stats_;
  DownstreamFacts facts_;
  std::unique_ptr<net::Connection> connection_;  // until the codec takes it
  const net::Connection* const transport_;       // the same, also after that
  std::unique_ptr<http::ServerConnection> server_;
  absl::InlinedVector<std::unique_ptr<Exchange>, 1> active_;
  std::vector<std::shared_ptr<MirrorStream>> mirrors_;
  runtime::Timer idle_timer_;
  std::unique_ptr<runtime::Timer> duration_timer_;  // where there is a limit
  int refusal_status_ = 400;
  uint32_t requests_ = 0;
  bool is_draining_ = false;
  bool bypasses_overload_ = false;
  bool is_over_ = false;
};

}  // namespace meltemi::proxy
