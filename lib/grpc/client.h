// SPDX-License-Identifier: Apache-2.0
// gRPC client calls over lib/http's HTTP/2. Loop-thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/status.h"
#include "lib/grpc/status.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "lib/tls/context.h"

namespace meltemi::grpc {

class ClientCallHandler {
 public:
  virtual ~ClientCallHandler() = default;
  virtual void OnMessage(std::string_view message) = 0;
  // Last call: trailers came, or the connection failed (UNAVAILABLE with the reason).
  virtual void OnStatus(const CallStatus& status) = 0;
};

class ClientCall {
 public:
  virtual ~ClientCall() = default;  // cancels when not ended; no callback after
  virtual void Send(std::string_view message) = 0;
  virtual void HalfClose() = 0;
};

struct Target {
  net::Address address;
  std::shared_ptr<const tls::ClientContext> tls;  // nullptr: plain text
};
// Whom to connect to; asked for each new connection. An error fails the call.
using TargetSource = std::function<StatusOr<Target>()>;

struct ChannelOptions {
  std::string authority = {};  // "" = the address
  Duration connect_timeout = std::chrono::seconds(10);
  Duration keepalive = std::chrono::seconds(30);  // HTTP/2 PING when idle; zero = off
  size_t message_bytes_max = 256 * 1024 * 1024;   // xDS answers of tens of MB occur
};

// One HTTP/2 connection, made when first needed and again after it failed. No
// back-off of its own: callers decide when to call again.
class Channel {
 public:
  static std::unique_ptr<Channel> Create(runtime::Loop& loop, TargetSource target,
                                         ChannelOptions options = {});
  // Plain text, always to the same address.
  static std::unique_ptr<Channel> Create(runtime::Loop& loop, const net::Address& to,
                                         ChannelOptions options = {});
  virtual ~Channel() = default;
  // `method` = "/package.Service/Method". `handler` must outlive the returned call.
  virtual std::unique_ptr<ClientCall> Start(const std::string& method,
                                            const std::multimap<std::string, std::string>& metadata,
                                            ClientCallHandler& handler) = 0;
};

// One request, one response.
std::unique_ptr<ClientCall> Unary(Channel& channel, const std::string& method,
                                  const std::multimap<std::string, std::string>& metadata,
                                  std::string request,
                                  std::function<void(CallStatus, std::string response)> done);

}  // namespace meltemi::grpc
