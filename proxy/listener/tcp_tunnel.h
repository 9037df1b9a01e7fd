// SPDX-License-Identifier: Apache-2.0
// TCP inside HTTP (tcp_proxy's tunneling_config): the upstream end of a session is the stream of a
// CONNECT or POST request, over the same pools that requests use. Worker-local; owned by its
// session and used again for each try.
//
//   kIdle ─Open─▶ kOpening ─stream─▶ kAsking ─2xx─▶ kOpen ─finished, reset─▶ kOver
//     ▲               └──────failure──────┴─refused─┐
//     └─────────────────────────────────────────────┘
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/arena.h"
#include "lib/http/stream.h"
#include "proxy/listener/tcp_end.h"
#include "proxy/listener/tcp_observer.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class Worker;

// What is asked of the proxy behind. Immutable, shared by the workers.
class TunnelRequest {
 public:
  virtual ~TunnelRequest() = default;
  // Makes the head; its views live in `arena` or here. False: what is known of the connection makes
  // no host or no field.
  virtual bool Write(Worker& worker, const TcpSummary& of, Arena& arena,
                     http::RequestHead& head) const = 0;
  // What logs may be told of the answer's head and trailers; "" = nothing.
  virtual std::string ResponseText(const http::ResponseHead& head) const = 0;
  virtual std::string TrailersText(const http::HeaderMap& trailers) const = 0;
};

class Tunnel final : public TcpEnd, private StreamOpenCallbacks, private http::StreamCallbacks {
 public:
  class Callbacks {
   public:
    virtual bool WriteTunnelRequest(Arena& arena, http::RequestHead& head) = 0;
    virtual void OnTunnelReady(ActiveRequest request) = 0;
    virtual void OnTunnelFailure(const OpenFailureInfo& failure) = 0;

   protected:
    ~Callbacks() = default;
  };

  Tunnel(Worker& worker, const TunnelRequest& request, Owner& owner, Callbacks& callbacks)
      : worker_(worker), request_(request), owner_(owner), callbacks_(callbacks) {}
  ~Tunnel() override;

  // The callbacks may hear of the outcome before this returns.
  void Open(ClusterId cluster, const PickContext& context);

  // That is being asked; nullptr: none, or the session has it.
  const Host* host() const { return active_ ? &active_.host() : nullptr; }
  // TunnelRequest's, of the last try.
  std::string_view response_headers() const { return response_headers_; }
  std::string_view response_trailers() const { return response_trailers_; }

  // TcpEnd
  std::string_view Peek() const override;
  void Consume(size_t bytes) override;
  bool input_ended() const override;
  void ResumeReading() override {}  // Consume does
  size_t Send(std::string_view bytes) override;
  bool is_full() const override { return is_full_; }
  void EndOutput() override;
  const net::Address* local_address() const override { return &local_; }
  const net::TlsPeer* tls_peer() const override { return is_tls_ ? &peer_ : nullptr; }

 private:
  enum class State : uint8_t { kIdle, kOpening, kAsking, kOpen, kOver };

  void Fail(OpenFailure kind, std::string_view detail);
  void LeavePending();
  void LearnConnection();
  void NoteReadOut();

  // StreamOpenCallbacks
  void OnStreamReady(http::ClientStream& stream, ActiveRequest active) override;
  void OnStreamFailure(const OpenFailureInfo& failure) override;
  // http::StreamCallbacks
  void OnHead(bool end_stream) override;
  void OnBody() override;
  void OnWritable() override;
  void OnReset(http::ResetReason reason) override;
  void OnFinished() override;

  Worker& worker_;
  const TunnelRequest& request_;
  Owner& owner_;
  Callbacks& callbacks_;
  State state_ = State::kIdle;
  std::unique_ptr<PendingOpen> pending_;
  http::ClientStream* stream_ = nullptr;
  ActiveRequest active_;  // the session's once it is open
  std::string response_headers_, response_trailers_;
  // The connection is others' too, and may go before the session's log line is written.
  net::Address local_;
  net::TlsPeer peer_;  // what outlives the connection
  std::string peer_uri_san_;
  bool is_tls_ = false;
  bool is_full_ = false;
  bool is_read_out_ = false;  // their end was seen, and nothing is left before it
};

}  // namespace meltemi::proxy
