// SPDX-License-Identifier: Apache-2.0
// The receiving half: frames that carry no message.
#include <algorithm>

#include "lib/http/h2/engine.h"

namespace meltemi::http::h2 {

void Engine::TakePriority(std::string_view payload) {
  if (head_.stream == 0) return Fail(ErrorCode::kProtocolError);
  if (payload.size() != 5) return Fail(ErrorCode::kFrameSizeError);
  TakePriorityFields(payload);
}

void Engine::TakeReset(std::string_view payload) {
  if (payload.size() != 4) return Fail(ErrorCode::kFrameSizeError);
  if (head_.stream == 0 || IsIdle(head_.stream)) return Fail(ErrorCode::kProtocolError);
  if (StreamState* const stream = table_.Find(head_.stream)) {
    Close(*stream, static_cast<ErrorCode>(ReadUint32(payload.data())), true);
  }
}

void Engine::TakeSettings(std::string_view payload) {
  if (head_.stream != 0) return Fail(ErrorCode::kProtocolError);
  if (head_.has(kFlagAck)) {
    if (!payload.empty()) return Fail(ErrorCode::kFrameSizeError);
    return ApplyOwnSettings();  // once; more of them mean nothing
  }
  if (payload.size() % kSettingBytes != 0) return Fail(ErrorCode::kFrameSizeError);
  for (; !payload.empty(); payload.remove_prefix(kSettingBytes)) {
    const ErrorCode code = ApplySetting(static_cast<Setting>(ReadUint16(payload.data())),
                                        ReadUint32(payload.data() + 2));
    if (code != ErrorCode::kNoError) return Fail(code);
  }
  WriteFrame(FrameType::kSettings, kFlagAck, 0, {});
  CountWaiting(true);
  owner_.OnSettings();
}

ErrorCode Engine::ApplySetting(Setting setting, uint32_t value) {
  switch (setting) {
    case Setting::kHeaderTableSize:
      encoder_.SetTableSize(std::min(value, options_.header_table_bytes));
      return ErrorCode::kNoError;
    case Setting::kEnablePush:
      // §6.5.2: servers must not offer it.
      return value > (options_.is_server ? 1u : 0u) ? ErrorCode::kProtocolError
                                                    : ErrorCode::kNoError;
    case Setting::kMaxConcurrentStreams:
      peer_streams_max_ = value;
      return ErrorCode::kNoError;
    case Setting::kInitialWindowSize:
      return ApplySendWindow(value);
    case Setting::kMaxFrameSize:
      // Checked only: larger frames than kFrameBytesMax would let one stream block the others.
      return value < kFrameBytesMax || value > kFrameBytesLimit ? ErrorCode::kProtocolError
                                                                : ErrorCode::kNoError;
    case Setting::kEnableConnectProtocol:
      return value > 1 ? ErrorCode::kProtocolError : ErrorCode::kNoError;
    default:
      return ErrorCode::kNoError;  // advice, or unknown
  }
}

// §6.9.2: open streams move by the difference, below zero if need be.
ErrorCode Engine::ApplySendWindow(uint32_t bytes) {
  if (bytes > kWindowMax) return ErrorCode::kFlowControlError;
  const int64_t difference = int64_t{bytes} - stream_send_window_;
  stream_send_window_ = bytes;
  bool is_too_large = false;
  table_.ForEach([&](StreamState& stream) {
    stream.send_window += difference;
    is_too_large |= stream.send_window > kWindowMax;
    Enlist(stream);
  });
  return is_too_large ? ErrorCode::kFlowControlError : ErrorCode::kNoError;
}

void Engine::ApplyOwnSettings() {
  if (is_acknowledged_) return;
  is_acknowledged_ = true;
  decoder_.SetTableLimit(options_.header_table_bytes);
  const int64_t difference = int64_t{options_.stream_window_bytes} - stream_receive_window_;
  stream_receive_window_ = options_.stream_window_bytes;
  table_.ForEach([&](StreamState& stream) { stream.receive_window += difference; });
}

void Engine::TakePing(std::string_view payload) {
  if (head_.stream != 0) return Fail(ErrorCode::kProtocolError);
  if (payload.size() != 8) return Fail(ErrorCode::kFrameSizeError);
  if (head_.has(kFlagAck)) return owner_.OnPong();
  WriteFrame(FrameType::kPing, kFlagAck, 0, payload);
  CountWaiting(true);
}

void Engine::TakeGoAway(std::string_view payload) {
  if (head_.stream != 0) return Fail(ErrorCode::kProtocolError);
  if (payload.size() < 8) return Fail(ErrorCode::kFrameSizeError);
  const auto last = static_cast<int32_t>(ReadUint32(payload.data()) & 0x7fffffffu);
  if (last > peers_last_) return Fail(ErrorCode::kProtocolError);  // §6.8: it must not grow
  peers_last_ = last;
  is_going_away_ = true;
  // Those above were never looked at: safe to try elsewhere.
  while (StreamState* stream = options_.is_server ? nullptr : table_.FindAbove(last)) {
    Close(*stream, ErrorCode::kRefusedStream, true);
  }
  owner_.OnGoAway();
}

void Engine::TakeWindowUpdate(std::string_view payload) {
  if (payload.size() != 4) return Fail(ErrorCode::kFrameSizeError);
  const int64_t bytes = ReadUint32(payload.data()) & 0x7fffffffu;
  if (head_.stream == 0) {
    if (bytes == 0) return Fail(ErrorCode::kProtocolError);
    send_window_ += bytes;
    if (send_window_ > kWindowMax) return Fail(ErrorCode::kFlowControlError);
    while (send_window_ > 0 && !blocked_.empty()) writers_.Push(blocked_.Pop());
    return;
  }
  if (IsIdle(head_.stream)) return Fail(ErrorCode::kProtocolError);
  StreamState* const stream = table_.Find(head_.stream);
  if (stream == nullptr) return;
  if (bytes == 0) return Violate(*stream, ErrorCode::kProtocolError);
  stream->send_window += bytes;
  if (stream->send_window > kWindowMax) return Violate(*stream, ErrorCode::kFlowControlError);
  Enlist(*stream);
}

}  // namespace meltemi::http::h2
