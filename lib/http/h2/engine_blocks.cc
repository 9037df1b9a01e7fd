// SPDX-License-Identifier: Apache-2.0
// The receiving half: header blocks.
#include <algorithm>

#include "lib/http/h2/engine.h"

namespace meltemi::http::h2 {

void Engine::TakeHeaders(std::string_view payload) {
  if (head_.stream == 0) return Fail(ErrorCode::kProtocolError);
  if (!StripPadding(head_.flags, payload)) return Fail(ErrorCode::kProtocolError);
  if (head_.has(kFlagPriority) && !TakePriorityFields(payload)) return;
  continuations_ = 0;
  is_block_malformed_ = false;
  block_ends_stream_ = head_.has(kFlagEndStream);
  block_kind_ = BeginPeersBlock();
  if (failure_ != ErrorCode::kNoError) return;
  block_id_ = head_.stream;
  rules_.Begin(block_kind_, options_.is_server && options_.allows_connect);
  TakeBlock(payload, head_.has(kFlagEndHeaders));
}

// Priorities of RFC 7540 are deprecated and of no use here; only their form is looked at.
bool Engine::TakePriorityFields(std::string_view& payload) {
  constexpr size_t kPriorityBytes = 5;
  if (payload.size() < kPriorityBytes) {
    Fail(ErrorCode::kFrameSizeError);
    return false;
  }
  const auto parent = static_cast<int32_t>(ReadUint32(payload.data()) & 0x7fffffffu);
  if (parent == head_.stream) {
    Fail(ErrorCode::kProtocolError);
    return false;
  }
  payload.remove_prefix(kPriorityBytes);
  return true;
}

BlockKind Engine::BeginPeersBlock() {
  if (StreamState* const stream = table_.Find(head_.stream)) {
    if (stream->is_remote_done) Fail(ErrorCode::kStreamClosed);
    owner_.OnBlock(*stream);
    if (stream->has_head) return BlockKind::kTrailers;
    return options_.is_server ? BlockKind::kRequest : BlockKind::kResponse;
  }
  if (!IsIdle(head_.stream)) return BlockKind::kIgnored;
  if (!options_.is_server || IsOwn(head_.stream)) {
    Fail(ErrorCode::kProtocolError);
    return BlockKind::kIgnored;
  }
  return BeginRequest();
}

BlockKind Engine::BeginRequest() {
  // §6.8: behind our GOAWAY; the peer knows that nobody serves it.
  if (sent_goaway_) return BlockKind::kIgnored;
  last_peer_id_ = head_.stream;
  if (table_.size() >= options_.streams_max) {
    // §5.1.2: once it has acknowledged the limit it knows better.
    if (is_acknowledged_) {
      Fail(ErrorCode::kProtocolError);
    } else {
      WriteReset(head_.stream, ErrorCode::kRefusedStream);
    }
    return BlockKind::kIgnored;
  }
  StreamState& stream = owner_.OnNewRequest(head_.stream);
  stream.id = head_.stream;
  Insert(stream);
  owner_.OnBlock(stream);
  return BlockKind::kRequest;
}

void Engine::TakeBlock(std::string_view piece, bool is_last) {
  // It may have been reset since the last piece; the table needs the block all the same.
  block_stream_ = block_kind_ == BlockKind::kIgnored ? nullptr : table_.Find(block_id_);
  if (!decoder_.Decode(piece, is_last, *this)) return Fail(ErrorCode::kCompressionError);
  if (is_last) EndBlock();
  block_stream_ = nullptr;
}

void Engine::OnField(const Field& field) {
  if (block_stream_ == nullptr || is_block_malformed_) return;
  if (!rules_.Take(field)) {
    is_block_malformed_ = true;
  } else {
    owner_.OnField(*block_stream_, field);
  }
}

void Engine::EndBlock() {
  block_id_ = 0;
  if (block_stream_ == nullptr) return;
  StreamState& stream = *block_stream_;
  const bool is_trailers = block_kind_ == BlockKind::kTrailers;
  // §8.1: trailers end a message, and an interim head does not.
  const bool is_interim = block_kind_ == BlockKind::kResponse && rules_.status() / 100 == 1;
  const bool ends_wrongly = is_trailers ? !block_ends_stream_ : is_interim && block_ends_stream_;
  if (is_block_malformed_ || !rules_.Complete() || ends_wrongly) {
    return Violate(stream, ErrorCode::kProtocolError);
  }
  if (!is_trailers) ApplyHead(stream);
  if (block_ends_stream_) {
    if (stream.body_left > 0) return Violate(stream, ErrorCode::kProtocolError);
    stream.is_remote_done = true;
    owner_.OnRemoteEnd(stream);
  }
  owner_.OnBlockEnd(stream);
  if (block_ends_stream_ && stream.is_open && stream.is_local_done) {
    Close(stream, ErrorCode::kNoError, false);
  }
}

void Engine::ApplyHead(StreamState& stream) {
  if (block_kind_ == BlockKind::kRequest) {
    stream.has_head = true;
    stream.is_head_request = rules_.is_head();
    stream.is_connect = rules_.is_connect();
    stream.body_left = stream.is_connect ? -1 : rules_.content_length();
    return;
  }
  const int status = rules_.status();
  if (status / 100 == 1) return;  // the final head is still to come
  stream.has_head = true;
  if (stream.is_head_request || status == 204 || status == 304) {
    stream.body_left = 0;  // RFC 9110 §6.4.1, whatever content-length says
  } else if (!stream.is_connect || status / 100 != 2) {
    stream.body_left = rules_.content_length();
  }
}

}  // namespace meltemi::http::h2
