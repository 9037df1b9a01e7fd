// SPDX-License-Identifier: Apache-2.0
// A connection between accept and its handler. Worker-local; owned by WorkerListeners.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/listener/worker_listeners.h"

namespace meltemi::proxy {

class WorkerListeners::Waiting final : private runtime::FdHandler,
                                       private net::ConnectionCallbacks {
 public:
  Waiting(WorkerListeners& owner, ListenerPtr listener, Fd socket, const net::Address& remote);
  ~Waiting();

  // Reads a PROXY header, settles the destination, hands over to the listener that serves it, runs
  // the inspectors; true when all is known (at once where there is nothing to see).
  bool Begin();
  // Takes the chosen chain: a handshake first where it has one.
  void Take(const FilterChain& chain);

  // No event reaches it from now on.
  void Abandon();

  std::shared_ptr<void> unit;  // of the process's limit on connections
  const ListenerPtr& listener() const { return listener_; }
  ChainQuery query() const {
    return {destination_, remote_, server_name_, transport_protocol_, application_protocols_};
  }
  AcceptedConnection Describe(const FilterChain& chain,
                              std::unique_ptr<net::Connection> connection);

 private:
  enum class Verdict : uint8_t { kNeedMore, kDone, kRefused, kGone };
  void OnReady(runtime::Ready ready) override;
  // For a read of nothing: not yet, or never.
  static Verdict VerdictOfRead(ssize_t count);
  void Fail(Verdict verdict);
  Verdict Look();
  Verdict Inspect();
  Verdict ReadProxyHeader();
  Verdict JudgeProxyHeader(net::ParsedProxyHeader parsed);
  // Takes bytes known to belong to the header off the socket, up to `bytes` in all.
  Verdict TakeProxyBytes(size_t bytes);
  void AdoptProxyHeader(net::ProxyHeader header);
  void ResolveDestination();
  Verdict LookForTls(std::string_view bytes);
  Verdict LookForHttp(std::string_view bytes);
  void EndInspection();
  void OnTimeout();

  void OnConnected() override;
  void OnInput() override {}
  void OnClosed(net::CloseReason reason) override;

  WorkerListeners& owner_;
  ListenerPtr listener_;
  Fd socket_;
  const net::Address direct_remote_;
  net::Address remote_;
  net::Address destination_;
  std::shared_ptr<const net::ProxyHeader> proxy_header_;
  std::string proxy_bytes_;  // of a header, taken off the socket
  bool wants_proxy_header_ = false;
  std::string server_name_;
  // Envoy calls a connection without TLS so, inspected or not.
  std::string transport_protocol_ = "raw_buffer";
  std::vector<std::string> application_protocols_;
  bool wants_tls_ = false;
  bool wants_http_ = false;
  bool is_watching_ = false;
  std::unique_ptr<runtime::Timer> timer_;
  std::unique_ptr<net::Connection> connection_;  // during the handshake
  const FilterChain* chain_ = nullptr;           // of listener_

 public:
  ListenerCounters::Open open;  // once a chain took it; names listener_, so goes first
};

}  // namespace meltemi::proxy
