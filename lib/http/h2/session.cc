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

// A head of the largest size allowed must fit into its frames, and what was let in elsewhere must
// go out. The limit of CONTINUATION frames is only there in nghttp2 with the fix of CVE-2024-28182.
template <typename Option>
void AdmitLargeHeads(Option* option, size_t head_bytes_max) {
  constexpr size_t kFrameBytes = 16 * 1024;
  constexpr size_t kSpareFrames = 8;
  constexpr size_t kSendBytesMax = 16 * 1024 * 1024;  // twice what any listener may be set to
  if constexpr (requires { nghttp2_option_set_max_continuations(option, size_t{}); }) {
    nghttp2_option_set_max_continuations(option, head_bytes_max / kFrameBytes + kSpareFrames);
  }
  nghttp2_option_set_max_send_header_block_length(option, kSendBytesMax);
}

Session::Session(std::unique_ptr<net::Connection> connection, const Limits& limits, bool is_server)
    : is_server_(is_server),
      connection_(std::move(connection)),
      limits_(limits),
      guard_(limits_.http2, is_server) {
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_peer_max_concurrent_streams(options, 100);
  nghttp2_option_set_max_deflate_dynamic_table_size(options, limits.http2.header_table_bytes);
  AdmitLargeHeads(options, limits.head_bytes_max);
  nghttp2_option_set_max_outbound_ack(options, limits.http2.outbound_control_frames_max);
  nghttp2_session* session = nullptr;
  const auto make = is_server ? nghttp2_session_server_new2 : nghttp2_session_client_new2;
  nghttp2_session_callbacks* callbacks = Callbacks();
  MELTEMI_CHECK(make(&session, callbacks, this, options) == 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
  session_.reset(session);
  if (is_server) frame_bytes_left_ = NGHTTP2_CLIENT_MAGIC_LEN;
}

Session::~Session() = default;

void Session::Begin() {
  const uint32_t connect = is_server_ && limits_.http2.allows_connect ? 1 : 0;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, limits_.http2.header_table_bytes},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(limits_.stream_buffer_bytes)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.head_bytes_max)},
      is_server_ ? nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, connect}
                 : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  nghttp2_submit_settings(handle(), NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(handle(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits_.connection_window_bytes));
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
  if (!is_gone_ && !stream.is_closed_ && stream.id_ > 0) {
    nghttp2_session_set_stream_user_data(handle(), stream.id_, nullptr);
  }
  // Bytes that nobody will read count against the connection's window no longer.
  if (!is_gone_ && !stream.received_.empty()) {
    nghttp2_session_consume_connection(handle(), stream.received_.size());
  }
  const size_t index = stream.index_;
  retired_.push_back(std::move(streams_[index]));
  if (index + 1 != streams_.size()) {
    streams_[index] = std::move(streams_.back());
    streams_[index]->index_ = index;
  }
  streams_.pop_back();
}

void Session::FreeRetired() {
  while (!retired_.empty()) {
    std::unique_ptr<StreamCore> stream = std::move(retired_.back());
    retired_.pop_back();
    if (stream->is_queued_) std::erase(ready_, stream.get());
    if (free_.size() >= kFreeStreamsMax) continue;
    stream->Recycle();
    free_.push_back(std::move(stream));
  }
}

void Session::FailLater(StreamCore& stream, uint32_t error_code) {
  stream.is_closed_ = true;
  stream.error_code_ = error_code;
  Queue(stream, StreamCore::kClosed);
}

StreamCore* Session::Find(int32_t id) {
  return static_cast<StreamCore*>(nghttp2_session_get_stream_user_data(handle(), id));
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
  if (is_gone_ || is_closing_) return;
  is_receiving_ = true;
  ReceiveFrames();
  is_receiving_ = false;
  connection_->ResumeReading();
  if (nghttp2_session_get_outbound_queue_size(handle()) > limits_.http2.outbound_frames_max) {
    fatal_code_ = NGHTTP2_ENHANCE_YOUR_CALM;
  }
  if (fatal_code_ == NGHTTP2_NO_ERROR && std::exchange(is_violated_, false)) {
    OnViolation(kViolation);
  }
  EndIfFatal();
  Dispatch();
  if (is_gone_) return Schedule();
  if (connection_->input_ended() && !is_closing_) return CloseNow(net::CloseReason::kRemoteEnd);
  Schedule();
}

// Frame by frame, so that each is judged by the state which those before it have left.
void Session::ReceiveFrames() {
  constexpr size_t kHeadBytes = 9;
  net::Buffer& input = connection_->input();
  while (!input.empty() && fatal_code_ == NGHTTP2_NO_ERROR) {
    const std::string_view view = input.view();
    if (frame_bytes_left_ == 0) {
      if (view.size() < kHeadBytes) break;
      const auto byte = [&](size_t i) {
        return static_cast<uint32_t>(static_cast<uint8_t>(view[i]));
      };
      const size_t payload_bytes = byte(0) << 16 | byte(1) << 8 | byte(2);
      const auto stream =
          static_cast<int32_t>((byte(5) & 0x7f) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8));
      const bool is_open = stream != 0 && nghttp2_session_find_stream(handle(), stream) != nullptr;
      Obey(guard_.TakeFrame(static_cast<FrameType>(byte(3)), static_cast<uint8_t>(byte(4)),
                            payload_bytes, stream, is_open, connection_->loop().Now()));
      if (fatal_code_ != NGHTTP2_NO_ERROR) break;
      frame_bytes_left_ = kHeadBytes + payload_bytes;
    }
    const size_t size = std::min(view.size(), frame_bytes_left_);
    frame_bytes_left_ -= size;
    const ssize_t taken =
        nghttp2_session_mem_recv(handle(), reinterpret_cast<const uint8_t*>(view.data()), size);
    input.Consume(size);
    if (taken == NGHTTP2_ERR_FLOODED) fatal_code_ = NGHTTP2_ENHANCE_YOUR_CALM;
    if (taken < 0 && fatal_code_ == NGHTTP2_NO_ERROR) fatal_code_ = NGHTTP2_PROTOCOL_ERROR;
  }
  // What follows is of no interest.
  if (fatal_code_ != NGHTTP2_NO_ERROR) input.Consume(input.size());
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
  bool has_written = false;
  while (!connection_->is_output_full()) {
    const uint8_t* bytes = nullptr;
    const size_t before = connection_->output().size();
    const ssize_t size = nghttp2_session_mem_send(handle(), &bytes);
    if (size < 0) return CloseNow(net::CloseReason::kLocal);
    connection_->output().Append({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
    if (connection_->output().size() == before) break;
    has_written = true;
  }
  if (has_written) connection_->Flush();
  EndIfFatal();
}

void Session::CloseIfDone() {
  if (is_closing_ || connection_->is_output_full()) return;
  const bool is_idle = streams_.empty() && (ends_when_idle_ || (peer_goes_away_ && !is_server_));
  if (is_idle && !nghttp2_session_want_write(handle())) {
    is_closing_ = true;
    connection_->CloseAfterFlush(kLinger);
  } else if (!nghttp2_session_want_read(handle()) && !nghttp2_session_want_write(handle())) {
    is_closing_ = true;
    connection_->CloseAfterFlush(kLinger);
  }
}

void Session::Terminate(uint32_t error_code) {
  if (is_gone_ || is_closing_) return;
  nghttp2_session_terminate_session(handle(), error_code);
  Pump();
  if (is_gone_) return;
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
  if (stream.is_closed_ && stream.error_code_ != NGHTTP2_NO_ERROR && stream.callbacks_ == nullptr) {
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
        stream.received_end_ && stream.received_.empty() && stream.trailers_.size() == 0;
    stream.is_end_told_ = ends;
    stream.callbacks_->OnHead(ends);
  }
  // The end of a malformed head, or of trailers that were too large, is not told as a body's.
  if ((events & StreamCore::kBody) != 0 && !stream.is_over_ && stream.callbacks_ != nullptr &&
      stream.has_head_ && !stream.is_refused()) {
    if (!stream.received_.empty() || (stream.received_end_ && !stream.is_end_told_)) {
      stream.is_end_told_ = stream.received_end_;
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
  const bool is_sent = stream.send_ended_ && stream.unsent_.empty();
  // RST_STREAM(NO_ERROR) behind a complete answer only says that the request's rest is not wanted.
  const bool is_complete = stream.error_code_ == NGHTTP2_NO_ERROR && !stream.is_refused() &&
                           (is_server_ ? is_sent : stream.received_end_);
  const bool is_read = stream.received_.empty() || (is_server_ && !stream.is_tunnel_);
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
      callbacks->OnReset(stream.error_code_ == NGHTTP2_REFUSED_STREAM ? ResetReason::kRefused
                         : stream.error_code_ == NGHTTP2_PROTOCOL_ERROR
                             ? ResetReason::kProtocolError
                             : ResetReason::kRemoteReset);
    }
  }
}

// -- what nghttp2 tells

int Session::OnBeginHeaders(const nghttp2_frame& frame) {
  if (is_server_ && frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    StreamCore& stream = TakeStream();
    stream.id_ = frame.hd.stream_id;
    stream.began_ = connection_->loop().Now();
    nghttp2_session_set_stream_user_data(handle(), stream.id_, &stream);
    return 0;
  }
  if (StreamCore* stream = Find(frame.hd.stream_id)) {
    stream->is_in_trailers_ = stream->has_head_;
    stream->head_bytes_ = stream->head_fields_ = 0;
  }
  return 0;
}

int Session::OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  StreamCore* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr || stream->is_too_large_) return 0;
  stream->head_bytes_ += name.size() + value.size();
  // Counted as decoded: a small block may unpack into much (CVE-2026-47774).
  if (stream->head_bytes_ > limits_.head_bytes_max ||
      ++stream->head_fields_ > limits_.header_fields_max) {
    stream->is_too_large_ = true;
    return 0;
  }
  Arena& arena = stream->arena_;
  if (name.starts_with(':')) {
    stream->TakePseudo(name.substr(1), arena.Copy(value));
    return 0;
  }
  const HeaderId id = LookUpHeader(name);
  if (id == HeaderId::kContentLength) {
    // nghttp2 has judged it and holds the body to it.
    if (!stream->is_in_trailers_) {
      std::from_chars(value.data(), value.data() + value.size(), stream->content_length());
    }
    return 0;
  }
  if (id == HeaderId::kHost) {
    if (!stream->is_in_trailers_) stream->TakePseudo("host", arena.Copy(value));
    return 0;
  }
  HeaderMap& map = stream->is_in_trailers_ ? stream->trailers_ : stream->fields();
  map.AddBorrowed(id, id == HeaderId::kOther ? arena.Copy(name) : HeaderName(id),
                  arena.Copy(value));
  return 0;
}

int Session::OnFrame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) has_settings_ = true;
      return 0;
    case NGHTTP2_GOAWAY:
      peer_goes_away_ = true;
      return 0;
    case NGHTTP2_RST_STREAM:
      reset_by_peer_ = frame.hd.stream_id;
      return 0;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        has_ping_answer_ = true;
        if (keepalive_ != nullptr && !is_ping_due_) ArmKeepalive();
      }
      return 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      break;
    default:
      return 0;
  }
  StreamCore* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
    stream->received_end_ = true;
    Queue(*stream, StreamCore::kBody);
  }
  if (frame.hd.type == NGHTTP2_HEADERS) OnHeadersFrame(*stream, frame);
  return 0;
}

void Session::OnHeadersFrame(StreamCore& stream, const nghttp2_frame& frame) {
  if (stream.is_too_large_) {
    // A server answers; the rest of the request is reset when the answer has gone.
    if (is_server_ && !stream.has_head_) return OnHeadTooLarge(stream);
    nghttp2_submit_rst_stream(handle(), NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_CANCEL);
    return;
  }
  if (stream.has_head_) return;
  if (!stream.CompleteHead()) {
    stream.is_malformed_ = true;
    is_violated_ = true;
    nghttp2_submit_rst_stream(handle(), NGHTTP2_FLAG_NONE, frame.hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  Queue(stream, stream.has_head_ ? StreamCore::kHead : StreamCore::kInterim);
}

void Session::OnData(int32_t id, std::string_view bytes) {
  StreamCore* const stream = Find(id);
  if (stream == nullptr || stream->is_over_) {
    nghttp2_session_consume_connection(handle(), bytes.size());
    return;
  }
  stream->received_.Append(bytes);
  Queue(*stream, StreamCore::kBody);
}

void Session::OnStreamClose(int32_t id, uint32_t error_code) {
  StreamCore* const stream = Find(id);
  const bool is_done = id == reset_by_peer_ || (stream != nullptr && stream->received_end_);
  guard_.NoteEnded(id, is_done);
  if (is_server_) {
    // Given up, or broken, by its peer before anything was answered.
    const bool is_premature =
        stream != nullptr && error_code != NGHTTP2_NO_ERROR && !stream->is_over_ &&
        !stream->is_open_for_sending_ && !stream->send_ended_ &&
        connection_->loop().Now() - stream->began_ <= FrameGuard::kPrematureTime;
    Obey(guard_.NoteRequestOver(is_premature));
  }
  if (stream == nullptr) return;
  stream->is_closed_ = true;
  stream->error_code_ = error_code;
  stream->is_open_for_sending_ = false;
  // Nothing is said of a request whose head was refused: nobody knows of it yet.
  if (stream->callbacks_ == nullptr && !stream->has_head_) stream->events_ = 0;
  Queue(*stream, StreamCore::kClosed);
}

void Session::OnFrameSent(const nghttp2_frame& frame) {
  guard_.NoteSent(static_cast<FrameType>(frame.hd.type));
  if (frame.hd.type != NGHTTP2_DATA && frame.hd.type != NGHTTP2_HEADERS) return;
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  StreamCore* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->is_open_for_sending_ = false;
  // An answered request need not be sent on (RFC 9113 §8.1).
  if (is_server_ && !stream->received_end_ && !stream->is_tunnel_) {
    nghttp2_submit_rst_stream(handle(), NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
  }
}

ssize_t Session::ReadUnsent(StreamCore& stream, size_t bytes_max, uint32_t* flags) {
  const size_t bytes = std::min(bytes_max, stream.unsent_.size());
  if (bytes == 0 && !stream.send_ended_) {
    stream.is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (bytes != 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (bytes == stream.unsent_.size() && stream.send_ended_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.has_trailers_to_send_) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      FieldList fields;
      fields.AddAll(stream.trailers_to_send_);
      nghttp2_submit_trailer(handle(), stream.id_, fields.data(), fields.size());
    }
  }
  return static_cast<ssize_t>(bytes);
}

int Session::WriteData(const nghttp2_frame& frame, const uint8_t* head, size_t bytes,
                       StreamCore& stream) {
  MELTEMI_CHECK(frame.data.padlen == 0 && bytes <= stream.unsent_.size());
  constexpr size_t kFrameHeadBytes = 9;
  net::Buffer& output = connection_->output();
  output.Append({reinterpret_cast<const char*>(head), kFrameHeadBytes});
  output.Append(stream.unsent_.view().substr(0, bytes));
  stream.unsent_.Consume(bytes);
  if (stream.wants_writable_ && stream.unsent_.size() * 2 <= StreamCore::kUnsentBytesMax) {
    Queue(stream, StreamCore::kWritable);
  }
  return 0;
}

// -- what a peer may do

void Session::Obey(FrameGuard::Verdict verdict) {
  switch (verdict) {
    case FrameGuard::Verdict::kPass:
      return;
    case FrameGuard::Verdict::kFlood:
      fatal_code_ = NGHTTP2_ENHANCE_YOUR_CALM;
      return;
    case FrameGuard::Verdict::kStreamClosed:
      fatal_code_ = NGHTTP2_STREAM_CLOSED;
      return;
    case FrameGuard::Verdict::kProtocolError:
      fatal_code_ = NGHTTP2_PROTOCOL_ERROR;
      return;
  }
}

void Session::EndIfFatal() {
  const uint32_t code = std::exchange(fatal_code_, NGHTTP2_NO_ERROR);
  if (code == NGHTTP2_NO_ERROR || is_gone_ || is_closing_) return;
  OnViolation(code == NGHTTP2_ENHANCE_YOUR_CALM ? kFlood : kViolation);
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
  const uint8_t opaque[8] = {'m', 'e', 'l', 't', 'e', 'm', 'i', kind};
  nghttp2_submit_ping(handle(), NGHTTP2_FLAG_NONE, opaque);
  Schedule();
}

}  // namespace meltemi::http::h2
