// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/session.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::http::h2 {

// Tokens of the access log (Envoy's names).
constexpr std::string_view kViolation = "http2.violation.of.messaging.rule";
constexpr std::string_view kFlood = "http2.flood";

namespace {

EngineOptions OptionsFor(const Limits& limits, bool is_server) {
  EngineOptions options;
  options.is_server = is_server;
  options.allows_connect = limits.http2.allows_connect;
  options.streams_max = limits.streams_max;
  options.stream_window_bytes = static_cast<uint32_t>(limits.stream_buffer_bytes);
  options.connection_window_bytes = limits.connection_window_bytes;
  options.head_bytes_max = static_cast<uint32_t>(limits.head_bytes_max);
  options.header_table_bytes = limits.http2.header_table_bytes;
  options.answers_max = limits.http2.outbound_control_frames_max;
  options.frames_max = limits.http2.outbound_frames_max;
  return options;
}

}  // namespace

Session::Session(std::unique_ptr<net::Connection> connection, const Limits& limits, bool is_server)
    : is_server_(is_server),
      connection_(std::move(connection)),
      limits_(limits),
      engine_(*this, OptionsFor(limits, is_server), connection_->output()),
      guard_(limits_.http2, is_server) {}

Session::~Session() = default;

void Session::Begin() {
  engine_.Begin();
  connection_->SetCallbacks(this);
  StartKeepalive();
  Schedule();
}

// -- streams

StreamCore& Session::TakeStream() {
  if (free_.empty()) {
    streams_.push_back(MakeStream());
  } else {
    streams_.push_back(std::move(free_.back()));
    free_.pop_back();
  }
  streams_.back()->index_ = streams_.size() - 1;
  return *streams_.back();
}

// Takes a stream out of the list; it is reused only after this pass, its owner may still look at
// it.
void Session::Retire(StreamCore& stream) {
  engine_.Drop(stream);
  // Bytes that nobody will read count against the connection's window no longer.
  if (!is_gone_ && !stream.received_.empty()) engine_.ConsumeConnection(stream.received_.size());
  const size_t index = stream.index_;
  retired_.push_back(std::move(streams_[index]));
  if (index + 1 != streams_.size()) {
    streams_[index] = std::move(streams_.back());
    streams_[index]->index_ = index;
  }
  streams_.pop_back();
}

void Session::FreeRetired() {
  const size_t kept = streams_.empty() && is_server_ ? kFreeStreamsIdle : kFreeStreamsMax;
  while (!retired_.empty()) {
    std::unique_ptr<StreamCore> stream = std::move(retired_.back());
    retired_.pop_back();
    if (stream->is_queued_) std::erase(ready_, stream.get());
    if (free_.size() >= kept) continue;
    stream->Recycle();
    free_.push_back(std::move(stream));
  }
  if (free_.size() > kept) free_.resize(kept);
}

void Session::FailLater(StreamCore& stream, ErrorCode error_code) {
  stream.is_closed_ = true;
  stream.error_code_ = error_code;
  Queue(stream, StreamCore::kClosed);
}

void Session::Queue(StreamCore& stream, uint8_t event) {
  stream.events_ |= event;
  if (stream.is_queued_ || stream.is_over_) return;
  stream.is_queued_ = true;
  ready_.push_back(&stream);
  if (!is_receiving_) Schedule();
}

// -- loop

void Session::OnInput() {
  if (!is_gone_ && !is_closing_) Process();
}

// A client with requests without end must not hold the loop: after its share the rest waits,
// unread, for the next millisecond.
bool Session::TakesTurn() {
  if (requests_this_pass_ < kRequestsPerPassMax) return true;
  if (pass_ != connection_->loop().Now()) {
    requests_this_pass_ = 0;
    return true;
  }
  if (turn_ == nullptr) {
    turn_ = std::make_unique<runtime::Timer>(connection_->loop(), [this] { OnInput(); });
  }
  if (!turn_->is_armed()) turn_->Arm(Duration(0));
  return false;
}

void Session::Process() {
  constexpr size_t kSliceBytes = 4096;  // of small requests, at most two shares
  net::Buffer& input = connection_->input();
  ErrorCode code = ErrorCode::kNoError;
  is_receiving_ = true;
  while (code == ErrorCode::kNoError && !input.empty() && TakesTurn()) {
    const std::string_view slice = input.view().substr(0, kSliceBytes);
    code = engine_.Receive(slice);
    input.Consume(slice.size());
  }
  if (code != ErrorCode::kNoError) input.Clear();
  is_receiving_ = false;
  connection_->ResumeReading();
  if (fatal_code_ == ErrorCode::kNoError) fatal_code_ = code;
  if (fatal_code_ == ErrorCode::kNoError && std::exchange(is_violated_, false)) {
    OnViolation(kViolation);
  }
  EndIfFatal();
  Dispatch();
  if (is_gone_) return Schedule();
  if (connection_->input_ended() && input.empty() && !is_closing_) {
    return CloseNow(net::CloseReason::kRemoteEnd);
  }
  Schedule();
}

void Session::RunDeferred() {
  // Writing makes room, room brings more to write; the output's fill ends this.
  for (int round = 0; round < 64 && !is_gone_; ++round) {
    Pump();
    if (ready_.empty()) break;
    Dispatch();
  }
  if (!ready_.empty() && !is_gone_) Schedule();
  FreeRetired();
  if (!is_gone_) AfterPass();
  if (is_gone_) return Report(close_reason_);
  CloseIfDone();
}

void Session::Pump() {
  if (is_closing_) return;
  engine_.WriteWaiting();
  if (!connection_->output().empty()) connection_->Flush();
  EndIfFatal();
}

void Session::CloseIfDone() {
  if (is_closing_ || connection_->is_output_full()) return;
  const bool is_idle = ends_when_idle_ || (peer_goes_away_ && !is_server_);
  if (!streams_.empty() || (!is_idle && !engine_.is_finished())) return;
  is_closing_ = true;
  connection_->CloseAfterFlush(kLinger);
}

void Session::Terminate(ErrorCode error_code) {
  if (is_gone_ || is_closing_) return;
  engine_.SendGoAway(error_code);
  is_closing_ = true;
  connection_->CloseAfterFlush(kLinger);
}

void Session::CloseNow(net::CloseReason reason) {
  if (is_gone_) return;
  close_reason_ = reason;
  connection_->Close();
  is_gone_ = true;
  Schedule();
}

void Session::OnClosed(net::CloseReason reason) {
  is_gone_ = true;
  Report(reason);
}

void Session::Report(net::CloseReason reason) {
  if (std::exchange(is_reported_, true)) return;
  while (!streams_.empty()) {
    StreamCore& stream = *streams_.back();
    const bool is_known = stream.callbacks_ != nullptr && !stream.is_over_;
    const ResetReason reset = ResetFor(stream, reason);
    stream.is_over_ = true;
    Retire(stream);
    if (is_known) stream.callbacks_->OnReset(reset);
  }
  ReportClosed(reason);
}

// -- telling owners

void Session::Dispatch() {
  dispatching_.swap(ready_);
  for (StreamCore* stream : dispatching_) {
    stream->is_queued_ = false;
    if (!stream->is_over_ && !is_gone_) Tell(*stream);
  }
  dispatching_.clear();
  if (peer_goes_away_ && !std::exchange(is_goaway_told_, true)) OnPeerGoesAway();
  if (std::exchange(has_ping_answer_, false)) OnPingAnswered();
}

void Session::Tell(StreamCore& stream) {
  const uint8_t events = std::exchange(stream.events_, 0);
  // Opened and reset at once: not worth a request (rapid reset).
  if (stream.is_closed_ && stream.error_code_ != ErrorCode::kNoError &&
      stream.callbacks_ == nullptr) {
    return TellClosed(stream);
  }
  if ((events & StreamCore::kInterim) != 0 && stream.callbacks_ != nullptr) {
    for (size_t i = 0; i < stream.interim_.size() && !stream.is_over_; ++i) {
      stream.callbacks_->OnInformational(*stream.interim_[i]);
    }
    stream.interim_.clear();
  }
  if ((events & StreamCore::kHead) != 0 && !stream.is_over_) {
    if (!Introduce(stream) || stream.callbacks_ == nullptr) {
      return stream.ResetLocally(ResetReason::kRefused);
    }
    const bool ends =
        stream.is_remote_done && stream.received_.empty() && stream.trailers_.size() == 0;
    stream.is_end_told_ = ends;
    stream.callbacks_->OnHead(ends);
  }
  // The end of a malformed head, or of trailers that were too large, is not told as a body's.
  if ((events & StreamCore::kBody) != 0 && !stream.is_over_ && stream.callbacks_ != nullptr &&
      stream.has_head_ && !stream.is_refused()) {
    if (!stream.received_.empty() || (stream.is_remote_done && !stream.is_end_told_)) {
      stream.is_end_told_ = stream.is_remote_done;
      stream.callbacks_->OnBody();
    }
  }
  if ((events & StreamCore::kWritable) != 0 && !stream.is_over_ && stream.callbacks_ != nullptr &&
      std::exchange(stream.wants_writable_, false)) {
    stream.callbacks_->OnWritable();
  }
  if ((stream.is_closed_ || (events & StreamCore::kClosed) != 0) && !stream.is_over_) {
    TellClosed(stream);
  }
}

void Session::TellClosed(StreamCore& stream) {
  const bool is_sent = stream.is_send_ended && stream.unsent.empty();
  // RST_STREAM(NO_ERROR) behind a complete answer only says that the request's rest is not wanted.
  const bool is_complete = stream.error_code_ == ErrorCode::kNoError && !stream.is_refused() &&
                           (is_server_ ? is_sent : stream.is_remote_done);
  const bool is_read = stream.received_.empty() || (is_server_ && !stream.is_tunnel);
  if (is_complete && !is_read) return;  // its reader is slow
  StreamCallbacks* const callbacks = stream.callbacks_;
  stream.is_over_ = true;
  Retire(stream);
  if (callbacks != nullptr) {
    if (is_complete) {
      callbacks->OnFinished();
    } else if (stream.is_too_large_) {
      callbacks->OnReset(ResetReason::kOverload);
    } else if (stream.is_malformed_) {
      callbacks->OnReset(ResetReason::kProtocolError);
    } else {
      callbacks->OnReset(stream.error_code_ == ErrorCode::kRefusedStream ? ResetReason::kRefused
                         : stream.error_code_ == ErrorCode::kProtocolError
                             ? ResetReason::kProtocolError
                             : ResetReason::kRemoteReset);
    }
  }
}

// -- what the engine tells

ErrorCode Session::OnFrame(const FrameHead& head, bool is_open) {
  return Obey(guard_.TakeFrame(head.type, head.flags, head.length, head.stream, is_open,
                               connection_->loop().Now()));
}

StreamState& Session::OnNewRequest(int32_t) {
  StreamCore& stream = TakeStream();
  stream.began_ = connection_->loop().Now();
  if (pass_ != stream.began_) {
    pass_ = stream.began_;
    requests_this_pass_ = 0;
  }
  ++requests_this_pass_;
  return stream;
}

void Session::OnBlock(StreamState& state) {
  auto& stream = static_cast<StreamCore&>(state);
  stream.is_in_trailers_ = stream.has_head_;
  stream.head_bytes_ = stream.head_fields_ = 0;
}

void Session::OnField(StreamState& state, const Field& field) {
  auto& stream = static_cast<StreamCore&>(state);
  if (stream.is_too_large_) return;
  stream.head_bytes_ += field.name.size() + field.value.size();
  // Counted as decoded: a small block may unpack into much (CVE-2026-47774).
  if (stream.head_bytes_ > limits_.head_bytes_max ||
      ++stream.head_fields_ > limits_.header_fields_max) {
    stream.is_too_large_ = true;
    return;
  }
  Arena& arena = stream.arena_;
  const HeaderId id = field.tag.id;
  if (field.tag.pseudo != Pseudo::kNone) {
    stream.TakePseudo(field.tag.pseudo, arena.Copy(field.value));
  } else if (id == HeaderId::kContentLength) {
    // The engine has judged it and holds the body to it.
    if (stream.is_in_trailers_) return;
    const char* const begin = field.value.data();
    std::from_chars(begin, begin + field.value.size(), stream.content_length());
  } else if (id == HeaderId::kHost) {
    if (!stream.is_in_trailers_) stream.TakePseudo(Pseudo::kNone, arena.Copy(field.value));
  } else {
    HeaderMap& map = stream.is_in_trailers_ ? stream.trailers_ : stream.fields();
    map.AddBorrowed(id, id == HeaderId::kOther ? arena.Copy(field.name) : HeaderName(id),
                    arena.Copy(field.value));
  }
}

void Session::OnBlockEnd(StreamState& state) {
  auto& stream = static_cast<StreamCore&>(state);
  if (stream.is_too_large_) {
    // A server answers; the rest of the request is reset when the answer has gone.
    if (is_server_ && !stream.has_head_) return OnHeadTooLarge(stream);
    return engine_.Reset(stream, ErrorCode::kCancel);
  }
  if (stream.has_head_) return;
  if (!stream.CompleteHead()) {
    stream.is_malformed_ = true;
    is_violated_ = true;
    return engine_.Reset(stream, ErrorCode::kProtocolError);
  }
  Queue(stream, stream.has_head_ ? StreamCore::kHead : StreamCore::kInterim);
}

void Session::OnData(StreamState& state, std::string_view bytes) {
  auto& stream = static_cast<StreamCore&>(state);
  stream.received_.Append(bytes);
  Queue(stream, StreamCore::kBody);
}

void Session::OnRemoteEnd(StreamState& state) {
  Queue(static_cast<StreamCore&>(state), StreamCore::kBody);
}

void Session::OnStreamClosed(StreamState& state, ErrorCode code, bool is_peers_reset) {
  auto& stream = static_cast<StreamCore&>(state);
  guard_.NoteEnded(stream.id, is_peers_reset || stream.is_remote_done);
  if (is_server_) {
    // Given up, or broken, by its peer before anything was answered.
    const bool is_premature =
        code != ErrorCode::kNoError && !stream.is_over_ && !stream.is_head_sent &&
        connection_->loop().Now() - stream.began_ <= FrameGuard::kPrematureTime;
    Obey(guard_.NoteRequestOver(is_premature));
  }
  stream.is_closed_ = true;
  stream.error_code_ = code;
  // Nothing is said of a request whose head was refused: nobody knows of it yet.
  if (stream.callbacks_ == nullptr && !stream.has_head_) stream.events_ = 0;
  Queue(stream, StreamCore::kClosed);
}

void Session::OnPong() {
  has_ping_answer_ = true;
  if (keepalive_ != nullptr && !is_ping_due_) ArmKeepalive();
}

void Session::OnSent(StreamState& state) {
  auto& stream = static_cast<StreamCore&>(state);
  if (stream.wants_writable_ && stream.unsent.size() * 2 <= StreamCore::kUnsentBytesMax) {
    Queue(stream, StreamCore::kWritable);
  }
}

// -- what a peer may do

// What it returns ends the reading; a verdict from outside of it is kept until then.
ErrorCode Session::Obey(FrameGuard::Verdict verdict) {
  switch (verdict) {
    case FrameGuard::Verdict::kPass:
      break;
    case FrameGuard::Verdict::kFlood:
      fatal_code_ = ErrorCode::kEnhanceYourCalm;
      break;
    case FrameGuard::Verdict::kStreamClosed:
      fatal_code_ = ErrorCode::kStreamClosed;
      break;
    case FrameGuard::Verdict::kProtocolError:
      fatal_code_ = ErrorCode::kProtocolError;
      break;
  }
  return fatal_code_;
}

void Session::EndIfFatal() {
  const ErrorCode code = std::exchange(fatal_code_, ErrorCode::kNoError);
  if (code == ErrorCode::kNoError || is_gone_ || is_closing_) return;
  OnViolation(code == ErrorCode::kEnhanceYourCalm ? kFlood : kViolation);
  Terminate(code);
}

// -- signs of life

void Session::StartKeepalive() {
  const Http2Options& options = limits_.http2;
  if (options.keepalive_interval <= Duration::zero()) return;
  keepalive_ = std::make_unique<runtime::Timer>(connection_->loop(), [this] { OnKeepalive(); });
  ArmKeepalive();
}

// Jitter, so that connections made together do not ask together; this need not be random, only
// different.
void Session::ArmKeepalive() {
  const Http2Options& options = limits_.http2;
  const auto spread = options.keepalive_interval.count() / 100 * options.keepalive_jitter_percent;
  const auto mixed = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(this)) * 0x9E3779B97F4A7C15u;
  const auto jitter =
      spread > 0 ? static_cast<int64_t>((mixed >> 20) % static_cast<uint64_t>(spread)) : 0;
  is_ping_due_ = true;
  keepalive_->Arm(options.keepalive_interval + Duration(jitter));
}

void Session::OnKeepalive() {
  if (is_gone_ || is_closing_) return;
  if (!is_ping_due_) return CloseNow(net::CloseReason::kReset);  // no answer
  is_ping_due_ = false;
  SubmitPing('k');
  keepalive_->Arm(limits_.http2.keepalive_timeout);
}

void Session::SubmitPing(uint8_t kind) {
  const char opaque[8] = {'m', 'e', 'l', 't', 'e', 'm', 'i', static_cast<char>(kind)};
  engine_.SendPing({opaque, sizeof opaque});
  Schedule();
}

}  // namespace meltemi::http::h2
