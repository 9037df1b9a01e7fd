// SPDX-License-Identifier: Apache-2.0
// What one HTTP/2 peer may do to a connection: floods, and frames on streams that it has ended.
// Worker-local, member of a session. Knows no framing library: it is told of each frame by its
// header, before the payload is looked at, so it stays when the library goes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/http/connection.h"
#include "lib/http/h2/frame.h"

namespace meltemi::http::h2 {

class FrameGuard final {
 public:
  // How many ended streams are remembered. Frames on older ones are ignored, which is allowed too.
  static constexpr size_t kEndedMax = 64;
  static constexpr size_t kSkippedMax = 8;
  // A request given up later than this is no attack: somebody waited for the answer.
  static constexpr Duration kPrematureTime = std::chrono::seconds(1);

  enum class Verdict : uint8_t { kPass, kFlood, kStreamClosed, kProtocolError };

  FrameGuard(const Http2Options& options, bool is_server)
      : options_(options), is_server_(is_server) {}

  // A frame came. `is_open`: its stream is one that both know.
  Verdict TakeFrame(FrameType type, uint8_t flags, size_t bytes, int32_t stream, bool is_open,
                    MonotonicTime now);
  // `is_peer_done`: the peer sent END_STREAM or RST_STREAM, so that nothing more may come from it.
  void NoteEnded(int32_t stream, bool is_peer_done);
  // A request has gone, and whether its peer gave it up before it could be of any use.
  Verdict NoteRequestOver(bool is_premature);
  void NoteSent(FrameType type) {
    if (type == FrameType::kData) ++data_sent_;
    if (type == FrameType::kData || type == FrameType::kHeaders) ++useful_;
  }
  void NoteOpened() { ++opened_; }

 private:
  struct Ended {
    int32_t stream = 0;
    bool is_peer_done = false;
  };
  struct Skipped {
    int32_t first = 0, last = 0;
  };

  Verdict JudgeNewStream(int32_t stream, bool is_open);
  Verdict JudgeEnded(int32_t stream) const;
  bool IsControlFlood(MonotonicTime now);
  bool IsEmptyFlood(uint8_t flags, size_t bytes);

  const Http2Options options_;
  const bool is_server_;
  int32_t last_stream_ = 0;
  uint64_t opened_ = 0;
  uint64_t priorities_ = 0;
  uint64_t window_updates_ = 0;
  uint64_t data_sent_ = 0;
  uint64_t useful_ = 0;  // DATA and HEADERS, either way
  uint64_t useful_before_ = 0;
  uint32_t control_ = 0;
  uint32_t empty_ = 0;
  uint64_t over_ = 0;
  uint64_t premature_ = 0;
  MonotonicTime minute_{};
  std::array<Ended, kEndedMax> ended_{};
  size_t ended_at_ = 0;
  std::array<Skipped, kSkippedMax> skipped_{};
  size_t skipped_at_ = 0;
};

}  // namespace meltemi::http::h2
