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

Session::Session(std::unique_ptr<net::Connection> connection, const Limits& limits, bool is_server)
    : is_server_(is_server), connection_(std::move(connection)), limits_(limits) {
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_peer_max_concurrent_streams(options, 100);
  nghttp2_session* session = nullptr;
  const auto make = is_server ? nghttp2_session_server_new2 : nghttp2_session_client_new2;
  nghttp2_session_callbacks* callbacks = Callbacks();
  MELTEMI_CHECK(make(&session, callbacks, this, options) == 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
  session_.reset(session);
}

Session::~Session() = default;

void Session::Begin() {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(limits_.stream_buffer_bytes)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.head_bytes_max)},
      is_server_ ? nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}
                 : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  nghttp2_submit_settings(handle(), NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(handle(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits_.connection_window_bytes));
  connection_->SetCallbacks(this);
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
  net::Buffer& input = connection_->input();
  is_receiving_ = true;
  const auto* bytes = reinterpret_cast<const uint8_t*>(input.view().data());
  const ssize_t taken = nghttp2_session_mem_recv(handle(), bytes, input.size());
  input.Consume(input.size());
  is_receiving_ = false;
  connection_->ResumeReading();
  if (is_flooded_) OnViolation(kFlood);
  if (taken < 0 || is_flooded_) {
    if (!is_flooded_) OnViolation(kViolation);
    Terminate(is_flooded_ ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  } else if (std::exchange(is_violated_, false)) {
    OnViolation(kViolation);
  }
  Dispatch();
  if (is_gone_) return Schedule();
  if (connection_->input_ended() && !is_closing_) return CloseNow(net::CloseReason::kRemoteEnd);
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
    for (uint8_t i = 0; i < stream.interim_count_ && !stream.is_over_; ++i) {
      stream.callbacks_->OnInformational(stream.interim_[i]);
    }
    stream.interim_count_ = 0;
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
  if ((events & StreamCore::kBody) != 0 && !stream.is_over_ && stream.callbacks_ != nullptr) {
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
  const bool is_complete =
      stream.error_code_ == NGHTTP2_NO_ERROR && (is_server_ ? is_sent : stream.received_end_);
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
  if (!CountControlFrame(frame)) return NGHTTP2_ERR_CALLBACK_FAILURE;
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) has_settings_ = true;
      return 0;
    case NGHTTP2_GOAWAY:
      peer_goes_away_ = true;
      return 0;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) has_ping_answer_ = true;
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
  if (stream == nullptr) return;
  stream->is_closed_ = true;
  stream->error_code_ = error_code;
  stream->is_open_for_sending_ = false;
  // Nothing is said of a request whose head was refused: nobody knows of it yet.
  if (stream->callbacks_ == nullptr && !stream->has_head_) stream->events_ = 0;
  Queue(*stream, StreamCore::kClosed);
}

void Session::OnFrameSent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_DATA) ++data_frames_sent_;
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

// -- floods

bool Session::IsFlood(uint32_t& count, uint32_t max) {
  const MonotonicTime now = connection_->loop().Now();
  if (now - minute_ >= std::chrono::minutes(1)) {
    minute_ = now;
    resets_ = control_frames_ = 0;
  }
  if (++count <= max) return false;
  is_flooded_ = true;
  return true;
}

bool Session::CountControlFrame(const nghttp2_frame& frame) {
  const bool is_ack = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      // Opening and resetting costs the peer nothing and us a request (CVE-2023-44487).
      return !is_server_ || !IsFlood(resets_, limits_.resets_per_minute_max);
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
      return is_ack || !IsFlood(control_frames_, limits_.control_frames_per_minute_max);
    case NGHTTP2_PRIORITY:
      return !IsFlood(control_frames_, limits_.control_frames_per_minute_max);
    case NGHTTP2_DATA:
      return frame.hd.length != 0 || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 ||
             !IsFlood(control_frames_, limits_.control_frames_per_minute_max);
    case NGHTTP2_WINDOW_UPDATE:
      // Each DATA frame sent earns some (Envoy's rule); the base is a peer's start-up.
      if (++window_updates_ <= 10'000 + 2 * (streams_.size() + 10 * data_frames_sent_)) return true;
      is_flooded_ = true;
      return false;
    default:
      return true;
  }
}

void Session::SubmitPing(uint8_t kind) {
  const uint8_t opaque[8] = {'m', 'e', 'l', 't', 'e', 'm', 'i', kind};
  nghttp2_submit_ping(handle(), NGHTTP2_FLAG_NONE, opaque);
  Schedule();
}

// -- nghttp2's table

ssize_t Session::ReadCallback(nghttp2_session*, int32_t, uint8_t*, size_t bytes_max,
                              uint32_t* flags, nghttp2_data_source* source, void* session) {
  return static_cast<Session*>(session)->ReadUnsent(*static_cast<StreamCore*>(source->ptr),
                                                    bytes_max, flags);
}

nghttp2_session_callbacks* Session::Callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        return static_cast<Session*>(self)->OnBeginHeaders(*frame);
      });
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_bytes,
         const uint8_t* value, size_t value_bytes, uint8_t, void* self) {
        return static_cast<Session*>(self)->OnHeader(
            *frame, {reinterpret_cast<const char*>(name), name_bytes},
            {reinterpret_cast<const char*>(value), value_bytes});
      });
  // Without this nghttp2 drops invalid fields and goes on.
  nghttp2_session_callbacks_set_on_invalid_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
         uint8_t, void* self) -> int {
        static_cast<Session*>(self)->is_violated_ = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      });
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame*, int, void* self) {
        static_cast<Session*>(self)->is_violated_ = true;
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        return static_cast<Session*>(self)->OnFrame(*frame);
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* self) {
        static_cast<Session*>(self)->OnData(id, {reinterpret_cast<const char*>(bytes), size});
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
        static_cast<Session*>(self)->OnStreamClose(id, error_code);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        static_cast<Session*>(self)->OnFrameSent(*frame);
        return 0;
      });
  nghttp2_session_callbacks_set_send_data_callback(
      callbacks, [](nghttp2_session*, nghttp2_frame* frame, const uint8_t* head, size_t bytes,
                    nghttp2_data_source* source, void* self) {
        return static_cast<Session*>(self)->WriteData(*frame, head, bytes,
                                                      *static_cast<StreamCore*>(source->ptr));
      });
  return callbacks;
}

// -- fields

void FieldList::Add(std::string_view name, std::string_view value) {
  // nghttp2 copies both; its type is not const-correct.
  fields_.push_back({const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data())),
                     const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data())),
                     name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
}

void FieldList::AddAll(const HeaderMap& headers) {
  for (const HeaderField& field : headers.fields()) {
    switch (field.id) {
      case HeaderId::kConnection:
      case HeaderId::kContentLength:
      case HeaderId::kHost:
      case HeaderId::kKeepAlive:
      case HeaderId::kProxyConnection:
      case HeaderId::kTransferEncoding:
      case HeaderId::kUpgrade:
        break;
      default:
        Add(field.name, field.value);
    }
  }
}

void FieldList::AddNumber(std::string_view name, int64_t number, char* text) {
  const char* const end = std::to_chars(text, text + 20, number).ptr;
  Add(name, {text, static_cast<size_t>(end - text)});
}

}  // namespace meltemi::http::h2
