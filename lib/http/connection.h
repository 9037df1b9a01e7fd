// SPDX-License-Identifier: Apache-2.0
// Server and client HTTP connections: HTTP/1.1 (http/h1) and HTTP/2 (http/h2) behind one interface
// each. Worker-local. The connection owns its streams.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/http/stream.h"

namespace meltemi::http {

struct Limits {
  size_t head_bytes_max = 60 * 1024;  // Envoy's default, answered with 431
  size_t header_fields_max = 100;
  size_t stream_buffer_bytes =
      64 * 1024;               // body bytes held per stream and direction; HTTP/2 stream window
  uint32_t streams_max = 100;  // concurrent, HTTP/2
  uint32_t connection_window_bytes = 1024 * 1024;
  size_t pipelined_requests_max = 64;  // HTTP/1 requests answered per pass before others get a turn
  uint32_t resets_per_minute_max = 500;            // HTTP/2 RST_STREAM flood (CVE-2023-44487)
  uint32_t control_frames_per_minute_max = 10000;  // PING, SETTINGS floods
};

// -- server

class ServerConnectionCallbacks {
 public:
  // A new request begins; called when its head is complete. The callee sets the stream's callbacks
  // at once; OnHead follows. Returning without doing so resets the stream.
  virtual void OnStream(ServerStream& stream) = 0;
  // Bytes could not be parsed: the codec already answered (400, 431, 413, GOAWAY). `detail` is a
  // static token for the access log, e.g. "http1.codec_error", "request_headers_too_large".
  virtual void OnProtocolError(std::string_view detail) { (void)detail; }
  // The connection is gone and with it every stream; destroy the ServerConnection from here at
  // will.
  virtual void OnConnectionClosed() = 0;

 protected:
  ~ServerConnectionCallbacks() = default;
};

class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual Protocol protocol() const = 0;
  virtual size_t active_streams() const = 0;
  // No new requests: `connection: close` on HTTP/1, GOAWAY on HTTP/2; closes when the last stream
  // ends.
  virtual void Drain() = 0;
  virtual void Close() = 0;
};

// Chooses HTTP/2 when `protocol` says so; kHttp11 accepts 1.0 and 1.1. To detect from the first
// bytes (Envoy's codec AUTO) use DetectProtocol on the peeked input.
std::unique_ptr<ServerConnection> NewServerConnection(Protocol protocol,
                                                      std::unique_ptr<net::Connection> connection,
                                                      ServerConnectionCallbacks& callbacks,
                                                      const Limits& limits);

// What the first bytes of a connection are. kNeedMore until it can tell.
enum class Detected : uint8_t { kNeedMore, kHttp10, kHttp11, kHttp2, kNotHttp };
Detected DetectProtocol(std::string_view first_bytes);

// -- client

class ClientConnectionCallbacks {
 public:
  virtual void OnConnected() {}         // ready for streams (handshake and ALPN done)
  virtual void OnStreamsAvailable() {}  // can_open() turned true again
  virtual void OnGoAway() {}            // takes no new streams; existing ones go on
  virtual void OnPingAnswered() {}      // to SendPing
  // Gone; every stream got OnReset before. Destroy from here at will.
  virtual void OnConnectionClosed(net::CloseReason reason) = 0;

 protected:
  ~ClientConnectionCallbacks() = default;
};

class ClientConnection {
 public:
  virtual ~ClientConnection() = default;
  virtual Protocol protocol() const = 0;
  // Whether a stream can be opened now: HTTP/1 idle, HTTP/2 below the peer's limit. Streams may be
  // opened before OnConnected; what they send waits.
  virtual bool can_open() const = 0;
  virtual size_t active_streams() const = 0;
  // The stream belongs to the connection and lives until OnFinished / OnReset returns.
  virtual ClientStream& OpenStream(StreamCallbacks& callbacks) = 0;
  virtual void Drain() = 0;  // close once idle
  virtual void Close() = 0;
  // Asks for a sign of life; false when the protocol has no such thing (HTTP/1).
  virtual bool SendPing() { return false; }
  virtual net::Connection& connection() = 0;
};

// `protocol` kHttp11 or kHttp2 (prior knowledge, or what ALPN chose once connected).
std::unique_ptr<ClientConnection> NewClientConnection(Protocol protocol,
                                                      std::unique_ptr<net::Connection> connection,
                                                      ClientConnectionCallbacks& callbacks,
                                                      const Limits& limits);

}  // namespace meltemi::http
