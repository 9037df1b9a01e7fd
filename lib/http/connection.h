// SPDX-License-Identifier: Apache-2.0
// Server and client HTTP connections: HTTP/1.1 (http/h1) and HTTP/2 (http/h2) behind one interface
// each. Worker-local. The connection owns its streams.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/http/stream.h"

namespace meltemi::http {

// How names of fields are written to HTTP/1 peers. Names that came with a message keep their case
// whenever its codec was told to remember it (kAsReceived), whatever the writing codec says.
enum class HeaderCase : uint8_t { kLower, kProper, kAsReceived };

struct Http1Options {
  bool has_trailers = false;  // trailers are passed on; else read, judged and dropped
  HeaderCase header_case = HeaderCase::kLower;
};

// What one peer may do before its connection ends with ENHANCE_YOUR_CALM. Defaults are Envoy's
// unless noted.
struct Http2Options {
  uint32_t header_table_bytes = 4096;  // the peer's compression table, held by us
  bool allows_connect = true;          // servers: extended CONNECT (RFC 8441)
  uint32_t empty_frames_max = 1;       // in a row, without END_STREAM (CVE-2019-9518)
  uint32_t priority_frames_per_stream_max = 100;
  uint32_t window_updates_per_data_frame_max = 10;  // CVE-2019-9517 and its like
  // PING, SETTINGS and frames nobody knows (CVE-2019-9512, -9515), beyond four for each DATA or
  // HEADERS frame that went either way. Ours: Envoy bounds only the answers that wait.
  uint32_t control_frames_per_minute_max = 1000;
  uint32_t outbound_frames_max = 10000;
  uint32_t outbound_control_frames_max = 1000;  // answers to PING and SETTINGS that wait
  // Requests given up by their peer within a second and before an answer began: the connection ends
  // when they are half of this many, or half of all that ended (CVE-2023-44487).
  uint32_t premature_resets_streams = 500;
  // A PING each interval; unanswered for the timeout, the connection ends. 0 = none.
  Duration keepalive_interval{0};
  Duration keepalive_timeout{0};
  uint32_t keepalive_jitter_percent = 15;
  Duration drain_time = std::chrono::seconds(5);  // between the two GOAWAYs, at most
};

struct Limits {
  size_t head_bytes_max = 60 * 1024;  // Envoy's default, answered with 431
  size_t header_fields_max = 100;
  size_t stream_buffer_bytes =
      64 * 1024;               // body bytes held per stream and direction; HTTP/2 stream window
  uint32_t streams_max = 100;  // concurrent, HTTP/2
  uint32_t connection_window_bytes = 1024 * 1024;
  Duration request_head_time{0};  // from a head's first byte to its end, then 408; 0 = no limit
  Duration delayed_close = std::chrono::seconds(1);  // for the peer to read our last bytes
  size_t pipelined_requests_max = 64;  // HTTP/1 requests answered per pass before others get a turn
  Http1Options http1 = {};
  Http2Options http2 = {};
};

// -- server

class ServerConnectionCallbacks {
 public:
  // A new request begins; called when its head is complete. The callee sets the stream's callbacks
  // at once; OnHead follows. Returning without doing so resets the stream.
  virtual void OnStream(ServerStream& stream) = 0;
  // HTTP/1: bytes could not be parsed, and `head`, whose status is set, is about to be the answer.
  // The callee may add fields, and returns a body that lives until the next call.
  virtual std::string_view FillRefusal(ResponseHead& head, std::string_view detail) {
    (void)head, (void)detail;
    return {};
  }
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
