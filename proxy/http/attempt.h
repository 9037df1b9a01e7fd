// SPDX-License-Identifier: Apache-2.0
// One try of a request at an upstream: from asking for a stream to its end. Worker-local, part of
// its exchange and used again for the next try. It moves no data of its own accord; the exchange
// pumps.
//
//   kIdle ── Open ──▶ kOpening ── OnStreamReady ──▶ kOpen ── OnFinished/OnReset/Cancel ──▶ kIdle
//                        └──────── OnStreamFailure/Cancel ───────────────────────────────────┘
#pragma once

#include <memory>

#include "lib/http/stream.h"
#include "proxy/http/tunnel_stream.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

class AttemptOwner {
 public:
  virtual void OnAttemptReady() = 0;
  virtual void OnAttemptFailed(const OpenFailureInfo& failure) = 0;
  virtual void OnAttemptHead(bool end_stream) = 0;
  virtual void OnAttemptInformational(const http::ResponseHead& head) = 0;
  virtual void OnAttemptBody() = 0;
  virtual void OnAttemptWritable() = 0;
  virtual void OnAttemptReset(http::ResetReason reason) = 0;
  virtual void OnAttemptFinished() = 0;

 protected:
  ~AttemptOwner() = default;
};

class Attempt final : private http::StreamCallbacks,
                      private StreamOpenCallbacks,
                      private TcpOpenCallbacks {
 public:
  explicit Attempt(AttemptOwner& owner) : owner_(owner) {}
  ~Attempt() { Cancel(); }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // The owner may hear of the outcome before this returns. `is_tunnel` = over a connection of its
  // own, as it is.
  void Open(Worker& worker, ClusterId cluster, const PickContext& context, bool is_tunnel);
  // Gives the try up; no callback follows.
  void Cancel();

  bool is_idle() const { return state_ == State::kIdle; }
  bool is_open() const { return state_ == State::kOpen; }
  http::ClientStream& stream() { return *stream_; }
  Host& host() { return request_.host(); }

  // Facts of this try; the owner keeps them.
  bool is_head_sent = false;
  bool is_request_ended = false;  // our last byte was taken
  bool is_response_started = false;
  bool is_response_ended = false;  // their last byte was passed on
  std::string_view tls_failure;    // while OnAttemptReset runs: why its connection's TLS failed

 private:
  enum class State : uint8_t { kIdle, kOpening, kOpen };
  void BecomeIdle();

  // StreamOpenCallbacks
  void OnStreamReady(http::ClientStream& stream, ActiveRequest request) override;
  void OnStreamFailure(const OpenFailureInfo& failure) override;
  // TcpOpenCallbacks
  void OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) override;
  void OnTcpFailure(const OpenFailureInfo& failure) override;
  // StreamCallbacks
  void OnHead(bool end_stream) override;
  void OnInformational(const http::ResponseHead& head) override;
  void OnBody() override;
  void OnWritable() override;
  void OnReset(http::ResetReason reason) override;
  void OnFinished() override;

  AttemptOwner& owner_;
  Worker* worker_ = nullptr;
  State state_ = State::kIdle;
  std::unique_ptr<PendingOpen> pending_;
  http::ClientStream* stream_ = nullptr;
  std::unique_ptr<TunnelStream> tunnel_;
  ActiveRequest request_;
};

}  // namespace meltemi::proxy
