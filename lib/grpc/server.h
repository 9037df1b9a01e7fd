// SPDX-License-Identifier: Apache-2.0
// gRPC server calls over lib/http's HTTP/2. Loop-thread only.
// Messages go out as lists of shared slices, so one encoded resource serves ten thousand streams.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/grpc/status.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "lib/tls/context.h"

namespace meltemi::grpc {

// Immutable bytes shared between messages.
using Slice = std::shared_ptr<const std::string>;

// The peer of a call, for authentication.
struct PeerInfo {
  net::Address remote;
  bool is_tls = false;
  std::string uri_san;  // SPIFFE id of a verified client certificate, "" without one
  std::multimap<std::string, std::string>
      metadata;  // request headers, lower case (authorization …)
};

class ServerCall {
 public:
  virtual ~ServerCall() = default;
  virtual const PeerInfo& peer() const = 0;
  // Queues one message made of the slices in order. Returns false when the call has ended.
  virtual bool Send(std::vector<Slice> message) = 0;
  bool Send(std::string message) {
    return Send(std::vector<Slice>{std::make_shared<const std::string>(std::move(message))});
  }
  // Bytes queued and not yet taken by the connection; for one-in-flight back-pressure.
  virtual size_t queued_bytes() const = 0;
  virtual void Finish(CallStatus status) = 0;  // ends the call; no callback after it
};

// What a method does with one call. One object per call; destroyed after OnEnd.
class CallHandler {
 public:
  virtual ~CallHandler() = default;
  virtual void OnMessage(std::string_view message) = 0;
  virtual void OnClientDone() {}  // half-close
  // Output drained below its low watermark after queued_bytes() had grown.
  virtual void OnDrained() {}
  virtual void OnEnd() = 0;  // cancelled or connection lost; last call. Not after Finish.
};

// "/package.Service/Method" -> makes the handler of a call. `call` outlives the handler.
using MethodTable =
    std::map<std::string, std::function<std::unique_ptr<CallHandler>(ServerCall& call)>>;

struct ServerOptions {
  size_t message_bytes_max = 64 * 1024 * 1024;  // RESOURCE_EXHAUSTED beyond
  std::shared_ptr<const tls::ServerContext> tls = {};
  // Consulted for each new connection when set, so that certificates rotate.
  std::function<std::shared_ptr<const tls::ServerContext>()> tls_source = {};
};

class Server {
 public:
  static StatusOr<std::unique_ptr<Server>> Listen(runtime::Loop& loop, const net::Address& address,
                                                  MethodTable methods, ServerOptions options = {});
  virtual ~Server() = default;
  virtual const net::Address& address() const = 0;
  virtual void Drain() = 0;  // GOAWAY to all, refuse new connections
};

}  // namespace meltemi::grpc
