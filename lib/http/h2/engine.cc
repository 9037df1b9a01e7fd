// SPDX-License-Identifier: Apache-2.0
// The sending half: what is submitted, and how DATA takes turns.
#include "lib/http/h2/engine.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace meltemi::http::h2 {

Engine::Engine(EngineOwner& owner, const EngineOptions& options, net::Buffer& output)
    : owner_(owner),
      options_(options),
      output_(output),
      phase_(options.is_server ? Phase::kBegin : Phase::kHead),
      payload_(output.pool()) {
  // Until ours is acknowledged the initial size holds.
  decoder_.SetStringLimit(options.head_bytes_max);
  decoder_.SetTableLimit(std::max<size_t>(4096, options.header_table_bytes));
  if (options.header_table_bytes < 4096) encoder_.SetTableSize(options.header_table_bytes);
}

void Engine::Begin() {
  if (!options_.is_server) output_.Append(kPreface);
  struct Entry {
    Setting setting;
    uint32_t value;
  };
  const Entry entries[] = {
      {Setting::kHeaderTableSize, options_.header_table_bytes},
      {Setting::kMaxConcurrentStreams, options_.streams_max},
      {Setting::kInitialWindowSize, options_.stream_window_bytes},
      {Setting::kMaxHeaderListSize, options_.head_bytes_max},
      options_.is_server ? Entry{Setting::kEnableConnectProtocol, options_.allows_connect ? 1u : 0u}
                         : Entry{Setting::kEnablePush, 0},
  };
  char payload[std::size(entries) * kSettingBytes];
  char* to = payload;
  for (const Entry& entry : entries) {
    WriteUint16(to, static_cast<uint16_t>(entry.setting));
    WriteUint32(to + 2, entry.value);
    to += kSettingBytes;
  }
  WriteFrame(FrameType::kSettings, 0, 0, {payload, sizeof payload});
  if (options_.connection_window_bytes > static_cast<uint32_t>(kWindowAtStart)) {
    WriteWindowUpdate(0, options_.connection_window_bytes - kWindowAtStart);
    receive_window_ = options_.connection_window_bytes;
  }
}

// -- streams

bool Engine::Open(StreamState& stream) {
  if (!can_open()) return false;
  stream.id = next_id_;
  next_id_ = next_id_ > kStreamIdMax - 2 ? 0 : next_id_ + 2;
  Insert(stream);
  return true;
}

void Engine::Insert(StreamState& stream) {
  stream.is_open = true;
  stream.send_window = stream_send_window_;
  stream.receive_window = stream_receive_window_;
  table_.Insert(stream);
}

void Engine::Drop(StreamState& stream) {
  if (!stream.is_open) return;
  table_.Erase(stream.id);
  stream.is_open = false;
  if (stream.list != nullptr) stream.list->Remove(stream);
}

void Engine::Close(StreamState& stream, ErrorCode code, bool is_peers_reset) {
  Drop(stream);
  owner_.OnStreamClosed(stream, code, is_peers_reset);
}

void Engine::Reset(StreamState& stream, ErrorCode code) {
  if (!stream.is_open) return;
  WriteReset(stream.id, code);
  Close(stream, code, false);
}

void Engine::EndLocal(StreamState& stream) {
  stream.is_local_done = true;
  if (stream.is_remote_done) return Close(stream, ErrorCode::kNoError, false);
  // An answered request need not be sent on (RFC 9113 §8.1).
  if (options_.is_server && !stream.is_tunnel) Reset(stream, ErrorCode::kNoError);
}

void Engine::AddNumber(HeaderId id, std::string_view name, int64_t number) {
  char text[20];
  const char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  encoder_.Encode(id, name, {text, static_cast<size_t>(end - text)}, output_);
}

void Engine::AddFields(const HeaderMap& headers) {
  for (const HeaderField& field : headers.fields()) {
    switch (field.id) {
      // Of HTTP/1 hops, or written from the head's own members.
      case HeaderId::kConnection:
      case HeaderId::kContentLength:
      case HeaderId::kHost:
      case HeaderId::kKeepAlive:
      case HeaderId::kProxyConnection:
      case HeaderId::kTransferEncoding:
      case HeaderId::kUpgrade:
        break;
      default:
        encoder_.Encode(field.id, field.name, field.value, output_);
    }
  }
}

void Engine::EndHead(StreamState& stream, bool end_stream, bool is_interim) {
  if (!is_interim) stream.is_head_sent = true;
  if (end_stream) stream.is_send_ended = true;
  EndBlockOut(stream.id, end_stream);
  if (end_stream) EndLocal(stream);
}

size_t Engine::Send(StreamState& stream, std::string_view bytes, bool end_stream,
                    size_t unsent_max) {
  if (!stream.is_open || !stream.is_head_sent || stream.is_send_ended) return bytes.size();
  size_t taken = 0;
  // Nobody waits: straight to the output, one frame, so that others get a turn.
  if (writers_.empty() && blocked_.empty() && stream.unsent.empty() && !owner_.is_output_full()) {
    const int64_t window = std::max<int64_t>(0, std::min(stream.send_window, send_window_));
    taken = std::min({bytes.size(), static_cast<size_t>(window), size_t{kFrameBytesMax}});
    const bool is_all = taken == bytes.size();
    const bool ends = is_all && end_stream && stream.trailers == nullptr;
    if (taken != 0 || ends) WriteData(stream, bytes.substr(0, taken), ends);
    if (is_all && end_stream) {
      stream.is_send_ended = true;
      Finish(stream);
    }
    if (is_all) return taken;
  }
  const size_t room = unsent_max > stream.unsent.size() ? unsent_max - stream.unsent.size() : 0;
  const size_t kept = std::min(bytes.size() - taken, room);
  stream.unsent.Append(bytes.substr(taken, kept));
  taken += kept;
  if (taken == bytes.size() && end_stream) stream.is_send_ended = true;
  Enlist(stream);
  return taken;
}

// -- turns

bool Engine::HasToSend(const StreamState& stream) const {
  if (!stream.is_open || stream.is_local_done) return false;
  return stream.unsent.empty() ? stream.is_send_ended : stream.send_window > 0;
}

void Engine::Enlist(StreamState& stream) {
  if (stream.list == nullptr && HasToSend(stream)) writers_.Push(stream);
}

void Engine::WriteWaiting() {
  while (!writers_.empty() && !owner_.is_output_full()) {
    StreamState& stream = writers_.Pop();
    if (!HasToSend(stream)) continue;
    if (!stream.unsent.empty() && send_window_ <= 0) {
      blocked_.Push(stream);
    } else {
      WriteTurn(stream);
    }
  }
  if (!owner_.is_output_full()) answers_waiting_ = frames_waiting_ = 0;
}

void Engine::WriteTurn(StreamState& stream) {
  if (!stream.unsent.empty() || stream.trailers == nullptr) {
    const int64_t window = std::max<int64_t>(0, std::min(stream.send_window, send_window_));
    const size_t bytes =
        std::min({stream.unsent.size(), static_cast<size_t>(window), size_t{kFrameBytesMax}});
    const bool is_last = bytes == stream.unsent.size() && stream.is_send_ended;
    WriteData(stream, stream.unsent.view().substr(0, bytes), is_last && !stream.trailers);
    stream.unsent.Consume(bytes);
    owner_.OnSent(stream);
  }
  if (stream.unsent.empty() && stream.is_send_ended) return Finish(stream);
  Enlist(stream);
}

// Everything went but trailers.
void Engine::Finish(StreamState& stream) {
  if (stream.trailers != nullptr) {
    BeginBlock();
    AddFields(*stream.trailers);
    EndBlockOut(stream.id, true);
  }
  EndLocal(stream);
}

// -- windows of the peer

void Engine::Consume(StreamState& stream, size_t bytes) {
  ConsumeConnection(bytes);
  if (!stream.is_open || stream.is_remote_done) return;
  stream.unreturned += static_cast<uint32_t>(bytes);
  // In steps of half a window: one frame for many reads.
  if (int64_t{stream.unreturned} * 2 < stream_receive_window_) return;
  WriteWindowUpdate(stream.id, stream.unreturned);
  stream.receive_window += stream.unreturned;
  stream.unreturned = 0;
}

void Engine::ConsumeConnection(size_t bytes) {
  unreturned_ += bytes;
  const uint32_t target =
      std::max(options_.connection_window_bytes, static_cast<uint32_t>(kWindowAtStart));
  // In steps of half of what is not held by streams nobody reads: those may hold most of it for
  // long, and the others must not wait for a half that can never come.
  if (unreturned_ * 2 < target && static_cast<int64_t>(unreturned_) < receive_window_) return;
  WriteWindowUpdate(0, static_cast<uint32_t>(unreturned_));
  receive_window_ += static_cast<int64_t>(unreturned_);
  unreturned_ = 0;
}

// -- connection

void Engine::SendPing(std::string_view opaque) {
  WriteFrame(FrameType::kPing, 0, 0, opaque);
}

void Engine::SendGoAway(ErrorCode code) {
  sent_goaway_ = true;
  WriteGoAway(last_peer_id_, code);
}

// -- frames

void Engine::BeginBlock() {
  block_at_ = output_.size();
  output_.Reserve(kFrameHeadBytes);
  output_.Commit(kFrameHeadBytes);
  encoder_.BeginBlock(output_);
}

void Engine::EndBlockOut(int32_t id, bool end_stream) {
  const size_t bytes = output_.size() - block_at_ - kFrameHeadBytes;
  const uint8_t end = end_stream ? kFlagEndStream : 0;
  if (bytes > kFrameBytesMax) {
    SplitBlock(id, end);
  } else {
    WriteFrameHead(output_.mutable_data() + block_at_,
                   {static_cast<uint32_t>(bytes), FrameType::kHeaders,
                    static_cast<uint8_t>(end | kFlagEndHeaders), id});
  }
  owner_.OnFrameSent(FrameType::kHeaders);
  CountWaiting(false);
}

// A block larger than a frame goes on in CONTINUATION frames; heads are put between its pieces.
void Engine::SplitBlock(int32_t id, uint8_t flags) {
  const std::string block(output_.view().substr(block_at_ + kFrameHeadBytes));
  const std::string before(output_.view().substr(0, block_at_));
  output_.Clear();
  output_.Append(before);
  std::string_view left = block;
  FrameType type = FrameType::kHeaders;
  while (!left.empty()) {
    const std::string_view piece = left.substr(0, kFrameBytesMax);
    left.remove_prefix(piece.size());
    if (left.empty()) flags |= kFlagEndHeaders;
    char head[kFrameHeadBytes];
    WriteFrameHead(head, {static_cast<uint32_t>(piece.size()), type, flags, id});
    output_.Append({head, kFrameHeadBytes});
    output_.Append(piece);
    type = FrameType::kContinuation;
    flags = 0;
  }
}

void Engine::WriteData(StreamState& stream, std::string_view bytes, bool end_stream) {
  stream.send_window -= static_cast<int64_t>(bytes.size());
  send_window_ -= static_cast<int64_t>(bytes.size());
  WriteFrame(FrameType::kData, end_stream ? kFlagEndStream : 0, stream.id, bytes);
  owner_.OnFrameSent(FrameType::kData);
}

void Engine::WriteFrame(FrameType type, uint8_t flags, int32_t id, std::string_view payload) {
  char* const to = output_.Reserve(kFrameHeadBytes + payload.size());
  WriteFrameHead(to, {static_cast<uint32_t>(payload.size()), type, flags, id});
  std::copy(payload.begin(), payload.end(), to + kFrameHeadBytes);
  output_.Commit(kFrameHeadBytes + payload.size());
}

void Engine::WriteReset(int32_t id, ErrorCode code) {
  char payload[4];
  WriteUint32(payload, static_cast<uint32_t>(code));
  WriteFrame(FrameType::kRstStream, 0, id, {payload, sizeof payload});
  CountWaiting(false);
}

void Engine::WriteWindowUpdate(int32_t id, uint32_t bytes) {
  char payload[4];
  WriteUint32(payload, bytes);
  WriteFrame(FrameType::kWindowUpdate, 0, id, {payload, sizeof payload});
  CountWaiting(false);
}

void Engine::WriteGoAway(int32_t last, ErrorCode code) {
  char payload[8];
  WriteUint32(payload, static_cast<uint32_t>(last));
  WriteUint32(payload + 4, static_cast<uint32_t>(code));
  WriteFrame(FrameType::kGoAway, 0, 0, {payload, sizeof payload});
}

// Frames that a peer makes us write must not pile up when it does not read (CVE-2019-9512).
void Engine::CountWaiting(bool is_answer) {
  if (++frames_waiting_ > options_.frames_max ||
      (is_answer && ++answers_waiting_ > options_.answers_max)) {
    Fail(ErrorCode::kEnhanceYourCalm);
  }
}

}  // namespace meltemi::http::h2
