// SPDX-License-Identifier: Apache-2.0
// The monitoring port: /ready, /metrics, /version for whoever can reach it, /debug/… for this
// machine alone. Model-thread only.
#pragma once

#include <functional>
#include <memory>

#include "cmd/meltemid/live_waits.h"
#include "cmd/meltemid/reports.h"

namespace meltemi::cmd {

class Monitoring final {
 public:
  static StatusOr<std::unique_ptr<Monitoring>> Listen(runtime::Loop& loop,
                                                      const net::Address& address, Sources sources,
                                                      LiveWaits& waits,
                                                      std::function<bool()> is_ready);

 private:
  Monitoring(runtime::Loop& loop, Sources sources, LiveWaits& waits, std::function<bool()> is_ready)
      : loop_(loop), sources_(std::move(sources)), waits_(waits), is_ready_(std::move(is_ready)) {}
  void Handle(const http::ServiceRequest& request, std::shared_ptr<http::Responder> responder);
  void HandleDebug(const http::ServiceRequest& request, std::shared_ptr<http::Responder> responder);
  void WaitForLive(const http::ServiceRequest& request, std::shared_ptr<http::Responder> responder);

  runtime::Loop& loop_;
  const Sources sources_;
  LiveWaits& waits_;
  const std::function<bool()> is_ready_;
  std::unique_ptr<http::Service> service_;
};

}  // namespace meltemi::cmd
