// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/frame_guard.h"

namespace meltemi::http::h2 {
namespace {

constexpr uint8_t kEndStream = 0x1;
// SETTINGS, the first WINDOW_UPDATEs: what a peer sends before any stream (Envoy's base).
constexpr uint64_t kWindowUpdatesAtStart = 5;
constexpr uint64_t kControlFramesPerUsefulFrame = 4;

}  // namespace

FrameGuard::Verdict FrameGuard::TakeFrame(FrameType type, uint8_t flags, size_t bytes,
                                          int32_t stream, bool is_open, MonotonicTime now) {
  switch (type) {
    case FrameType::kData:
      ++useful_;
      if (IsEmptyFlood(flags, bytes)) return Verdict::kFlood;
      return is_open ? Verdict::kPass : JudgeEnded(stream);
    case FrameType::kHeaders:
      ++useful_;
      if (IsEmptyFlood(flags, bytes)) return Verdict::kFlood;
      return is_server_ ? JudgeNewStream(stream, is_open)
             : is_open  ? Verdict::kPass
                        : JudgeEnded(stream);
    case FrameType::kContinuation:
      return IsEmptyFlood(flags, bytes) ? Verdict::kFlood : Verdict::kPass;
    case FrameType::kPriority:
      return ++priorities_ > options_.priority_frames_per_stream_max * (1 + opened_)
                 ? Verdict::kFlood
                 : Verdict::kPass;
    case FrameType::kWindowUpdate:
      return ++window_updates_ >
                     kWindowUpdatesAtStart +
                         2 * (opened_ + options_.window_updates_per_data_frame_max * data_sent_)
                 ? Verdict::kFlood
                 : Verdict::kPass;
    case FrameType::kRstStream:
      // On an open stream it is judged when the stream ends.
      if (is_open) return Verdict::kPass;
      break;
    default:
      break;
  }
  return IsControlFlood(now) ? Verdict::kFlood : Verdict::kPass;
}

// DATA and the like that carry nothing and end nothing cost us and not the peer's window.
bool FrameGuard::IsEmptyFlood(uint8_t flags, size_t bytes) {
  if (bytes != 0 || (flags & kEndStream) != 0) {
    empty_ = 0;
    return false;
  }
  return ++empty_ > options_.empty_frames_max;
}

bool FrameGuard::IsControlFlood(MonotonicTime now) {
  if (now - minute_ >= std::chrono::minutes(1)) {
    minute_ = now;
    control_ = 0;
    useful_before_ = useful_;
  }
  return ++control_ > options_.control_frames_per_minute_max +
                          kControlFramesPerUsefulFrame * (useful_ - useful_before_);
}

FrameGuard::Verdict FrameGuard::JudgeNewStream(int32_t stream, bool is_open) {
  if (stream <= last_stream_) return is_open ? Verdict::kPass : JudgeEnded(stream);
  if (stream > last_stream_ + 2) {
    skipped_[skipped_at_++ % kSkippedMax] = {last_stream_ + 1, stream - 1};
  }
  last_stream_ = stream;
  ++opened_;
  return Verdict::kPass;
}

// RFC 9113 §5.1: "closed", and §5.1.1 for identifiers that were passed over.
FrameGuard::Verdict FrameGuard::JudgeEnded(int32_t stream) const {
  for (const Ended& ended : ended_) {
    if (ended.stream != stream || stream == 0) continue;
    // What was under way when we reset a stream is no fault.
    return ended.is_peer_done ? Verdict::kStreamClosed : Verdict::kPass;
  }
  for (const Skipped& skipped : skipped_) {
    if (stream >= skipped.first && stream <= skipped.last && stream != 0) {
      return Verdict::kProtocolError;
    }
  }
  return Verdict::kPass;
}

void FrameGuard::NoteEnded(int32_t stream, bool is_peer_done) {
  ended_[ended_at_++ % kEndedMax] = {stream, is_peer_done};
}

// Envoy's rule: half of the first so many, or half of all.
FrameGuard::Verdict FrameGuard::NoteRequestOver(bool is_premature) {
  ++over_;
  if (is_premature) ++premature_;
  const uint64_t compared = over_ < options_.premature_resets_streams
                                ? uint64_t{options_.premature_resets_streams}
                                : over_;
  return is_premature && premature_ * 2 >= compared ? Verdict::kFlood : Verdict::kPass;
}

}  // namespace meltemi::http::h2
