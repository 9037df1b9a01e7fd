// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 connection over nghttp2, either end. Worker-local.
//
// nghttp2 calls back while it reads or writes; what it tells is noted on the stream as events, and
// told to the stream's owner only after nghttp2 has returned. So owners may do anything in their
// callbacks. What is to be sent is pulled out of nghttp2 once, at the end of the pass, as far as
// the output admits.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string_view>
#include <vector>

#include "lib/http/connection.h"
#include "lib/http/h2/frame_guard.h"
#include "lib/http/h2/stream_core.h"

namespace meltemi::http::h2 {

struct SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};

class Session : protected net::ConnectionCallbacks, protected runtime::Deferred {
 public:
  static constexpr Duration kLinger = std::chrono::seconds(1);
  static constexpr size_t kFreeStreamsMax = 16;

  net::Connection& net() { return *connection_; }
  nghttp2_session* handle() const { return session_.get(); }
  const Limits& limits() const { return limits_; }

  // Used by streams.
  void Schedule() { connection_->loop().Defer(this); }
  void Retire(StreamCore& stream);
  bool is_gone() const { return is_gone_; }
  void NoteOpened() { guard_.NoteOpened(); }
  // Ends a stream that nghttp2 would not take.
  void FailLater(StreamCore& stream, uint32_t error_code);
  static ssize_t ReadCallback(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                              nghttp2_data_source*, void*);

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
  void Terminate(uint32_t error_code);
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

  void Pump();
  void Dispatch();
  void Tell(StreamCore& stream);
  void TellClosed(StreamCore& stream);
  void Queue(StreamCore& stream, uint8_t event);
  void Remove(StreamCore& stream);
  void FreeRetired();
  void CloseIfDone();
  void Report(net::CloseReason reason);

  // -- what nghttp2 tells
  int OnBeginHeaders(const nghttp2_frame& frame);
  int OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int OnFrame(const nghttp2_frame& frame);
  void OnHeadersFrame(StreamCore& stream, const nghttp2_frame& frame);
  void OnData(int32_t id, std::string_view bytes);
  void OnStreamClose(int32_t id, uint32_t error_code);
  void OnFrameSent(const nghttp2_frame& frame);
  ssize_t ReadUnsent(StreamCore& stream, size_t bytes_max, uint32_t* flags);
  int WriteData(const nghttp2_frame& frame, const uint8_t* head, size_t bytes, StreamCore& stream);
  void ReceiveFrames();
  void Obey(FrameGuard::Verdict verdict);
  void EndIfFatal();
  void StartKeepalive();
  void ArmKeepalive();
  void OnKeepalive();
  StreamCore* Find(int32_t id);

  static nghttp2_session_callbacks* Callbacks();

  std::unique_ptr<net::Connection> connection_;
  const Limits limits_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::vector<std::unique_ptr<StreamCore>> streams_;
  std::vector<std::unique_ptr<StreamCore>> retired_;
  std::vector<std::unique_ptr<StreamCore>> free_;
  std::vector<StreamCore*> ready_;
  std::vector<StreamCore*> dispatching_;
  FrameGuard guard_;
  size_t frame_bytes_left_ = 0;  // of the frame (or the client's preface) being received
  std::unique_ptr<runtime::Timer> keepalive_;
  bool is_ping_due_ = true;  // else its answer is
  int32_t reset_by_peer_ = 0;
  uint32_t fatal_code_ = NGHTTP2_NO_ERROR;  // why the connection must end
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

// A head as nghttp2 wants it. Fields of HTTP/1 hops are left out.
class FieldList final {
 public:
  void Add(std::string_view name, std::string_view value);
  void AddAll(const HeaderMap& headers);
  // Requires: `text` (20 bytes) lives until the list was submitted.
  void AddNumber(std::string_view name, int64_t number, char* text);
  const nghttp2_nv* data() const { return fields_.data(); }
  size_t size() const { return fields_.size(); }

 private:
  std::vector<nghttp2_nv> fields_;
};

}  // namespace meltemi::http::h2
