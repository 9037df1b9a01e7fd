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

  // Settles the original destination and hands over to the listener that serves it.
  void ResolveDestination();
  // Runs the inspectors; true when they are done (at once where there is nothing to see).
  bool StartInspection();
  // Takes the chosen chain: a handshake first where it has one.
  void Take(const FilterChain& chain);

  // No event reaches it from now on.
  void Abandon();

  const ListenerPtr& listener() const { return listener_; }
  ChainQuery query() const {
    return {destination_, remote_, server_name_, transport_protocol_, application_protocols_};
  }
  AcceptedConnection Describe(const FilterChain& chain,
                              std::unique_ptr<net::Connection> connection);

 private:
  enum class Verdict : uint8_t { kNeedMore, kDone, kRefused };
  void OnReady(runtime::Ready ready) override;
  Verdict Look();
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
  const net::Address remote_;
  net::Address destination_;
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
};

}  // namespace meltemi::proxy
