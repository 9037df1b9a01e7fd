// SPDX-License-Identifier: Apache-2.0
// The control plane's own certificate, issued by its authority and renewed at half of its life.
// Connections keep the context they began with. Model-thread only.
#pragma once

#include <memory>

#include "citadel/authority.h"
#include "lib/runtime/loop.h"
#include "lib/tls/context.h"

namespace meltemi::citadel {

inline constexpr Duration kServerLifetime = std::chrono::hours(24);

class ServerIdentity final {
 public:
  static StatusOr<std::unique_ptr<ServerIdentity>> Create(runtime::Loop& loop, Authority& authority,
                                                          identity::AltNames names);
  ServerIdentity(const ServerIdentity&) = delete;
  ServerIdentity& operator=(const ServerIdentity&) = delete;

  // For new connections: HTTP/2; a client certificate is asked for, and must be good when it comes.
  const std::shared_ptr<const tls::ServerContext>& context() const { return context_; }

 private:
  ServerIdentity(runtime::Loop& loop, Authority& authority, identity::AltNames names);
  Status Renew();

  Authority& authority_;
  const identity::AltNames names_;
  std::shared_ptr<const tls::ServerContext> context_;
  WallTime renewal_{};
  runtime::Timer timer_;
};

}  // namespace meltemi::citadel
