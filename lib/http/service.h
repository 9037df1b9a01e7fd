// SPDX-License-Identifier: Apache-2.0
// A small HTTP server and client for endpoints of our own: admin, metrics, the embedded API,
// probes, the command line. Whole requests in, whole responses or a stream of chunks out. Not for
// proxied traffic. Loop-thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/http/connection.h"
#include "lib/net/address.h"
#include "lib/tls/context.h"

namespace meltemi::http {

struct ServiceRequest {
  std::string method;
  std::string path;                                 // percent-decoded, without query
  std::multimap<std::string, std::string> query;    // percent-decoded
  std::multimap<std::string, std::string> headers;  // lower-case names
  std::string body = {};
  std::string authority = {};
  net::Address remote;
  std::string peer_uri_san;  // of a client certificate, "" without one
  std::string Query(const std::string& name, const std::string& otherwise = "") const;
  std::string Header(const std::string& name) const;
};

struct ServiceResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// The answer to one request, given at once or later, on the loop's thread.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void Send(ServiceResponse response) = 0;
  // A response without known end (watch, log follow). Chunks go out as they come; returns false
  // when the peer has gone or its unsent backlog passes `ServiceOptions::stream_backlog_bytes_max`
  // (it is then cut).
  virtual void StartStream(ServiceResponse head) = 0;
  virtual bool SendChunk(std::string_view bytes) = 0;
  virtual void EndStream() = 0;
  // Runs once when the peer goes away before the end.
  virtual void OnCancelled(std::function<void()> cancelled) = 0;
};

using ServiceHandler = std::function<void(ServiceRequest, std::shared_ptr<Responder>)>;

struct ServiceOptions {
  size_t body_bytes_max = 8 * 1024 * 1024;  // 413 beyond
  size_t stream_backlog_bytes_max = 16 * 1024 * 1024;
  std::shared_ptr<const tls::ServerContext> tls = {};  // plain when absent
};

// Listens on one address, HTTP/1.1 and HTTP/2 by detection (ALPN under TLS).
class Service {
 public:
  // Binds (port 0 picks one) and serves once the loop runs. Fails when the address is in use.
  static StatusOr<std::unique_ptr<Service>> Listen(runtime::Loop& loop, const net::Address& address,
                                                   ServiceHandler handler,
                                                   ServiceOptions options = {});
  virtual ~Service() = default;                     // closes the listener and every connection
  virtual const net::Address& address() const = 0;  // with the real port
};

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";
  std::string authority = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
};

struct ClientResponse {
  int status = 0;
  std::multimap<std::string, std::string> headers;
  std::string body = {};
};

struct ClientOptions {
  Duration timeout = std::chrono::seconds(30);  // whole exchange; zero = none (streams)
  size_t body_bytes_max = 64 * 1024 * 1024;
  std::shared_ptr<const tls::ClientContext> tls = {};
};

// One request on a connection of its own. Destroying the call cancels it; no callback comes after.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
};
std::unique_ptr<ClientCall> Fetch(runtime::Loop& loop, const net::Address& to,
                                  ClientRequest request,
                                  std::function<void(StatusOr<ClientResponse>)> done,
                                  ClientOptions options = {});

// For streamed responses (watch): `on_chunk` gets bytes as they come, `done` the end.
struct StreamHandlers {
  std::function<void(int status)> on_head = {};
  std::function<void(std::string_view bytes)> on_chunk = {};
  std::function<void(Status)> on_end = {};
};
std::unique_ptr<ClientCall> FetchStream(runtime::Loop& loop, const net::Address& to,
                                        ClientRequest request, StreamHandlers handlers,
                                        ClientOptions options = {});

}  // namespace meltemi::http
