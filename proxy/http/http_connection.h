// SPDX-License-Identifier: Apache-2.0
// A client's connection that carries HTTP: finds the protocol out, owns the codec and the
// exchanges. Worker-local. Exchanges are kept for the next request; the connection dies when its
// codec says so.
#pragma once

#include <memory>
#include <vector>

#include "lib/http/connection.h"
#include "lib/runtime/loop.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http_date.h"
#include "proxy/http/http_stats.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/worker.h"

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

 private:
  // Exchanges of ended requests kept for the next ones.
  static constexpr size_t kKeptExchangesMax = 8;
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
  Worker& worker() override { return worker_; }
  const HttpOptions& options() const override { return options_; }
  const DownstreamFacts& downstream() override { return facts_; }
  const std::shared_ptr<const RoutePin>& pin() override;
  HttpDate& date() override { return date_; }
  HttpStats& stats() override { return stats_; }
  bool ShedsRequest() override;
  std::shared_ptr<MirrorStream> StartMirror(const StreamInfo& info, const routing::Mirror& mirror,
                                            bool end_stream) override;
  void OnExchangeOver(Exchange& exchange) override;
  void EndWithResponse() override;

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
  HttpDate date_;
  std::shared_ptr<const RoutePin> pin_;
  std::unique_ptr<net::Connection> connection_;  // until the codec takes it
  const net::Connection* peek_ = nullptr;  // the codec's, for TLS facts; lives as long as server_
  std::unique_ptr<http::ServerConnection> server_;
  std::vector<std::unique_ptr<Exchange>> active_;
  std::vector<std::unique_ptr<Exchange>> free_;
  std::vector<std::shared_ptr<MirrorStream>> mirrors_;
  runtime::Timer idle_timer_;
  runtime::Timer duration_timer_;
  std::string refusal_body_;
  int refusal_status_ = 400;
  uint32_t requests_ = 0;
  bool is_draining_ = false;
  bool bypasses_overload_ = false;
  bool is_over_ = false;
};

}  // namespace meltemi::proxy
