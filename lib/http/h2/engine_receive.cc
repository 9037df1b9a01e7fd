// SPDX-License-Identifier: Apache-2.0
// The receiving half: frames out of bytes, and DATA.
#include <algorithm>
#include <utility>

#include "lib/http/h2/engine.h"

namespace meltemi::http::h2 {

ErrorCode Engine::Receive(std::string_view bytes) {
  while (!bytes.empty() && failure_ == ErrorCode::kNoError) {
    size_t taken = 0;
    switch (phase_) {
      case Phase::kBegin:
        taken = TakePreface(bytes);
        break;
      case Phase::kHead:
        taken = TakeHead(bytes);
        break;
      case Phase::kPayload:
        taken = TakePayload(bytes);
        break;
      case Phase::kPadLength:
        taken = TakePadLength(bytes);
        break;
      case Phase::kData:
        taken = TakeData(bytes);
        break;
      case Phase::kSkip:
        taken = std::min<size_t>(left_, bytes.size());
        left_ -= static_cast<uint32_t>(taken);
        if (left_ == 0) phase_ = Phase::kHead;
        break;
    }
    bytes.remove_prefix(taken);
  }
  return failure_;
}

size_t Engine::TakePreface(std::string_view bytes) {
  const size_t taken = std::min(bytes.size(), kPreface.size() - held_);
  if (bytes.substr(0, taken) != kPreface.substr(held_, taken)) Fail(ErrorCode::kProtocolError);
  held_ += taken;
  if (held_ == kPreface.size()) {
    held_ = 0;
    phase_ = Phase::kHead;
  }
  return taken;
}

size_t Engine::TakeHead(std::string_view bytes) {
  if (held_ == 0 && bytes.size() >= kFrameHeadBytes) {
    head_ = ReadFrameHead(bytes.data());
    BeginFrame();
    return kFrameHeadBytes;
  }
  const size_t taken = std::min(bytes.size(), kFrameHeadBytes - held_);
  std::copy_n(bytes.data(), taken, head_bytes_.data() + held_);
  held_ += taken;
  if (held_ == kFrameHeadBytes) {
    held_ = 0;
    head_ = ReadFrameHead(head_bytes_.data());
    BeginFrame();
  }
  return taken;
}

void Engine::BeginFrame() {
  left_ = head_.length;
  phase_ = Phase::kPayload;
  if (head_.length > kFrameBytesMax) return Fail(ErrorCode::kFrameSizeError);
  const bool is_settings = head_.type == FrameType::kSettings && !head_.has(kFlagAck);
  if (std::exchange(is_first_, false) && !is_settings) return Fail(ErrorCode::kProtocolError);
  // §6.10: nothing may come within a header block.
  const bool goes_on = head_.type == FrameType::kContinuation;
  if (goes_on != (block_id_ != 0) || (goes_on && head_.stream != block_id_)) {
    return Fail(ErrorCode::kProtocolError);
  }
  const bool is_open = head_.stream != 0 && table_.Find(head_.stream) != nullptr;
  const ErrorCode verdict = owner_.OnFrame(head_, is_open);
  if (verdict != ErrorCode::kNoError) return Fail(verdict);
  if (head_.type == FrameType::kData) return BeginData();
  if (head_.type > FrameType::kContinuation) {
    phase_ = left_ == 0 ? Phase::kHead : Phase::kSkip;  // §4.1: unknown types are ignored
  } else if (left_ == 0) {
    phase_ = Phase::kHead;
    TakeFrame({});
  }
}

size_t Engine::TakePayload(std::string_view bytes) {
  const size_t taken = std::min<size_t>(left_, bytes.size());
  left_ -= static_cast<uint32_t>(taken);
  if (left_ != 0 || !payload_.empty()) payload_.Append(bytes.substr(0, taken));
  if (left_ != 0) return taken;
  phase_ = Phase::kHead;
  TakeFrame(payload_.empty() ? bytes.substr(0, taken) : payload_.view());
  payload_.Clear();
  return taken;
}

void Engine::TakeFrame(std::string_view payload) {
  switch (head_.type) {
    case FrameType::kHeaders:
      return TakeHeaders(payload);
    case FrameType::kContinuation:
      // CVE-2024-27919, -28182: a head that never ends.
      if (++continuations_ > options_.head_bytes_max / kFrameBytesMax + kSpareContinuations) {
        return Fail(ErrorCode::kEnhanceYourCalm);
      }
      return TakeBlock(payload, head_.has(kFlagEndHeaders));
    case FrameType::kPriority:
      return TakePriority(payload);
    case FrameType::kRstStream:
      return TakeReset(payload);
    case FrameType::kSettings:
      return TakeSettings(payload);
    case FrameType::kPing:
      return TakePing(payload);
    case FrameType::kGoAway:
      return TakeGoAway(payload);
    case FrameType::kWindowUpdate:
      return TakeWindowUpdate(payload);
    default:
      return Fail(ErrorCode::kProtocolError);  // §8.4: we never allow pushes
  }
}

bool Engine::IsIdle(int32_t id) const {
  if (IsOwn(id)) return options_.is_server || (next_id_ != 0 && id >= next_id_);
  return !options_.is_server || id > last_peer_id_;
}

// -- DATA (§6.1): handed on as it comes, whether its frame is complete or not

void Engine::BeginData() {
  padding_ = 0;
  if (head_.stream == 0 || IsIdle(head_.stream)) return Fail(ErrorCode::kProtocolError);
  // §6.9: the whole frame counts, padding and all, whatever becomes of it.
  receive_window_ -= left_;
  if (receive_window_ < 0) return Fail(ErrorCode::kFlowControlError);
  StreamState* const stream = table_.Find(head_.stream);
  if (stream != nullptr) {
    if (stream->is_remote_done) return Fail(ErrorCode::kStreamClosed);
    stream->receive_window -= left_;
    if (stream->receive_window < 0) {
      Violate(*stream, ErrorCode::kFlowControlError);
    } else if (!stream->has_head) {
      Violate(*stream, ErrorCode::kProtocolError);
    }
  }
  if (head_.has(kFlagPadded)) {
    phase_ = Phase::kPadLength;
    if (left_ == 0) Fail(ErrorCode::kFrameSizeError);
  } else if (left_ == 0) {
    EndData();
  } else {
    phase_ = Phase::kData;
  }
}

size_t Engine::TakePadLength(std::string_view bytes) {
  padding_ = static_cast<uint8_t>(bytes.front());
  --left_;
  if (padding_ > left_) {
    Fail(ErrorCode::kProtocolError);
    return 1;
  }
  // What carries nothing is given back at once.
  if (StreamState* const stream = table_.Find(head_.stream)) {
    Consume(*stream, 1 + padding_);
  } else {
    ConsumeConnection(1 + padding_);
  }
  phase_ = Phase::kData;
  if (left_ == 0) EndData();
  return 1;
}

size_t Engine::TakeData(std::string_view bytes) {
  const size_t taken = std::min<size_t>(left_, bytes.size());
  const size_t content = left_ > padding_ ? std::min<size_t>(taken, left_ - padding_) : 0;
  left_ -= static_cast<uint32_t>(taken);
  if (content != 0) {
    StreamState* const stream = table_.Find(head_.stream);
    if (stream == nullptr) {
      ConsumeConnection(content);  // closed: nobody reads it
    } else if (stream->body_left >= 0 && static_cast<int64_t>(content) > stream->body_left) {
      ConsumeConnection(content);
      Violate(*stream, ErrorCode::kProtocolError);
    } else {
      if (stream->body_left >= 0) stream->body_left -= static_cast<int64_t>(content);
      owner_.OnData(*stream, bytes.substr(0, content));
    }
  }
  if (left_ == 0) EndData();
  return taken;
}

void Engine::EndData() {
  phase_ = Phase::kHead;
  if (!head_.has(kFlagEndStream)) return;
  if (StreamState* const stream = table_.Find(head_.stream)) {
    if (stream->body_left > 0) return Violate(*stream, ErrorCode::kProtocolError);
    EndRemote(*stream);
  }
}

void Engine::EndRemote(StreamState& stream) {
  stream.is_remote_done = true;
  owner_.OnRemoteEnd(stream);
  if (stream.is_local_done) Close(stream, ErrorCode::kNoError, false);
}

void Engine::Violate(StreamState& stream, ErrorCode code) {
  owner_.OnStreamViolation();
  Reset(stream, code);
}

}  // namespace meltemi::http::h2
