// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 connection, either end: joins the protocol engine to a byte stream and to the owners
// of streams. Worker-local.
//
// The engine tells things while it reads or writes; they are noted on the stream as events, and
// told to the stream's owner only after the engine has returned. So owners may do anything in their
// callbacks. What is to be sent leaves once, at the end of the pass.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "lib/http/connection.h"
#include "lib/http/h2/engine.h"
#include "lib/http/h2/frame_guard.h"
#include "lib/http/h2/stream_core.h"

namespace meltemi::http::h2 {

class Session : protected net::ConnectionCallbacks,
                protected runtime::Deferred,
                private EngineOwner {
 public:
  static constexpr Duration kLinger = std::chrono::seconds(1);
  // Streams kept for the next ones. Many clients may sit idle, each holding what it once needed;
  // connections to servers are few and carry all clients' requests, in waves.
  static constexpr size_t kFreeStreamsMax = 128;
  static constexpr size_t kFreeStreamsIdle = 32;
  // Requests of one client taken per pass before others get their turn.
  static constexpr uint32_t kRequestsPerPassMax = 256;

  net::Connection& net() { return *connection_; }
  Engine& engine() { return engine_; }
  const Engine& engine() const { return engine_; }
  const Limits& limits() const { return limits_; }

  // Used by streams.
  void Schedule() { connection_->loop().Defer(this); }
  void Retire(StreamCore& stream);
  bool is_gone() const { return is_gone_; }
  void NoteOpened() { guard_.NoteOpened(); }
  // Ends a stream that the engine would not take.
  void FailLater(StreamCore& stream, ErrorCode error_code);

 protected:
  Session(std::unique_ptr<net::Connection> connection, const Limits& limits, bool is_server);
  ~Session() override;

  // -- for the two ends
  virtual std::unique_ptr<StreamCore> MakeStream() = 0;
  // A head is complete and well-formed: introduce the stream to its owner (servers). False = nobody
  // wants it.
  virtual bool Introduce(StreamCore&) { return true; }
  virtual void OnHeadTooLarge(StreamCore& stream) = 0;
  virtual void OnViolation(std::string_view) {}
  virtual void OnPeerGoesAway() {}
  virtual void OnPingAnswered() {}
  virtual void AfterPass() {}
  virtual void ReportClosed(net::CloseReason reason) = 0;
  // What ended a stream when the whole connection went.
  virtual ResetReason ResetFor(const StreamCore& stream, net::CloseReason reason) const = 0;

  StreamCore& TakeStream();
  size_t stream_count() const { return streams_.size(); }
  void Begin();
  void CloseNow(net::CloseReason reason);
  void SubmitPing(uint8_t kind);
  // Tells the peer why, flushes, closes.
  void Terminate(ErrorCode error_code);
  void EndWhenIdle() {
    ends_when_idle_ = true;
    Schedule();
  }
  bool has_settings() const { return has_settings_; }
  bool peer_goes_away() const { return peer_goes_away_; }
  bool is_ending() const { return ends_when_idle_ || is_closing_; }
  const bool is_server_;

 private:
  friend class StreamCore;
  void OnInput() override;
  void OnOutputDrained() override { Schedule(); }
  void OnClosed(net::CloseReason reason) override;
  void RunDeferred() override;

  void Process();
  bool TakesTurn();
  void Pump();
  void Dispatch();
  void Tell(StreamCore& stream);
  void TellClosed(StreamCore& stream);
  void Queue(StreamCore& stream, uint8_t event);
  void Remove(StreamCore& stream);
  void FreeRetired();
  void CloseIfDone();
  void Report(net::CloseReason reason);

  // -- what the engine tells
  ErrorCode OnFrame(const FrameHead& head, bool is_open) override;
  StreamState& OnNewRequest(int32_t id) override;
  void OnBlock(StreamState& state) override;
  void OnField(StreamState& state, const Field& field) override;
  void OnBlockEnd(StreamState& state) override;
  void OnData(StreamState& state, std::string_view bytes) override;
  void OnRemoteEnd(StreamState& state) override;
  void OnStreamClosed(StreamState& state, ErrorCode code, bool is_peers_reset) override;
  void OnStreamViolation() override { is_violated_ = true; }
  void OnSettings() override { has_settings_ = true; }
  void OnGoAway() override { peer_goes_away_ = true; }
  void OnPong() override;
  void OnSent(StreamState& state) override;
  void OnFrameSent(FrameType type) override { guard_.NoteSent(type); }
  bool is_output_full() const override { return is_closing_ || connection_->is_output_full(); }

  ErrorCode Obey(FrameGuard::Verdict verdict);
  void EndIfFatal();
  void StartKeepalive();
  void ArmKeepalive();
  void OnKeepalive();

  std::unique_ptr<net::Connection> connection_;
  const Limits limits_;
  Engine engine_;
  std::vector<std::unique_ptr<StreamCore>> streams_;
  std::vector<std::unique_ptr<StreamCore>> retired_;
  std::vector<std::unique_ptr<StreamCore>> free_;
  std::vector<StreamCore*> ready_;
  std::vector<StreamCore*> dispatching_;
  FrameGuard guard_;
  std::unique_ptr<runtime::Timer> keepalive_;
  std::unique_ptr<runtime::Timer> turn_;  // made for the first that has to wait
  MonotonicTime pass_{};
  uint32_t requests_this_pass_ = 0;
  bool is_ping_due_ = true;                     // else its answer is
  ErrorCode fatal_code_ = ErrorCode::kNoError;  // why the connection must end
  net::CloseReason close_reason_ = net::CloseReason::kLocal;
  bool has_settings_ = false;
  bool peer_goes_away_ = false;
  bool is_goaway_told_ = false;
  bool has_ping_answer_ = false;
  bool ends_when_idle_ = false;
  bool is_violated_ = false;
  bool is_gone_ = false;
  bool is_closing_ = false;
  bool is_reported_ = false;
  bool is_receiving_ = false;
};

template <typename Interface>
net::Connection* StreamOver<Interface>::connection() {
  return &session_.net();
}

}  // namespace meltemi::http::h2
