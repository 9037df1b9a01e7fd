// SPDX-License-Identifier: Apache-2.0
// What the two kinds of HTTP/2 streams have in common: buffers, flow control, events. Worker-local;
// owned by its session, which recycles it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/http/h2/frame.h"
#include "lib/http/h2/hpack_table.h"
#include "lib/http/h2/stream_state.h"
#include "lib/http/stream.h"
#include "lib/net/buffer.h"

namespace meltemi::http::h2 {

class Session;

class StreamCore : protected StreamState {
 public:
  static constexpr size_t kInterimAnswersMax = 8;

  // Body bytes taken from whoever sends, not framed yet: one block of the pool. What a slow reader
  // makes wait is held here once per stream, so 1000 of them must not come to much.
  static constexpr size_t kUnsentBytesMax = net::BlockPool::kBlockBytes;

  explicit StreamCore(Session& session);
  virtual ~StreamCore() = default;
  StreamCore(const StreamCore&) = delete;
  StreamCore& operator=(const StreamCore&) = delete;

 protected:
  friend class Session;
  enum Event : uint8_t { kHead = 1, kInterim = 2, kBody = 4, kWritable = 8, kClosed = 16 };

  // The head being received. Pseudo::kNone stands for the Host field.
  virtual HeaderMap& fields() = 0;
  virtual int64_t& content_length() = 0;
  virtual void TakePseudo(Pseudo name, std::string_view value) = 0;
  virtual Stream& stream() = 0;
  // Judges a complete head; false = malformed.
  virtual bool CompleteHead() = 0;
  virtual void Recycle();

  // What came could not be taken; a peer that has ended its side may never hear of it.
  bool is_refused() const { return is_malformed_ || is_too_large_; }
  std::string_view PeekReceived() const { return received_.view(); }
  void ConsumeReceived(size_t bytes);
  size_t Send(std::string_view bytes, bool end_stream);
  void SendTrailerFields(const HeaderMap& trailers);
  void ResetLocally(ResetReason reason);

  Session& session_;
  size_t index_ = 0;  // in the session's list
  Arena arena_;
  net::Buffer received_;
  HeaderMap trailers_;
  HeaderMap trailers_to_send_;
  StreamCallbacks* callbacks_ = nullptr;
  std::vector<std::unique_ptr<ResponseHead>> interim_;  // 1xx not told yet; rare
  MonotonicTime began_{};
  uint8_t events_ = 0;
  ErrorCode error_code_ = ErrorCode::kNoError;
  size_t head_bytes_ = 0;
  size_t head_fields_ = 0;
  bool is_queued_ = false;
  bool is_in_trailers_ = false;
  bool is_too_large_ = false;
  bool is_malformed_ = false;
  bool has_head_ = false;
  bool is_end_told_ = false;
  bool wants_writable_ = false;
  bool is_closed_ = false;  // the engine has forgotten it
  bool is_over_ = false;    // no callback comes any more
};

// The part of an interface that StreamCore serves.
template <typename Interface>
class StreamOver : public Interface, public StreamCore {
 public:
  explicit StreamOver(Session& session) : StreamCore(session) {}
  void SetCallbacks(StreamCallbacks* callbacks) override { callbacks_ = callbacks; }
  std::string_view PeekBody() const override { return PeekReceived(); }
  void ConsumeBody(size_t bytes) override { ConsumeReceived(bytes); }
  bool body_ended() const override { return is_remote_done; }
  const HeaderMap* trailers() const override {
    return is_remote_done && trailers_.size() != 0 ? &trailers_ : nullptr;
  }
  size_t SendBody(std::string_view bytes, bool end_stream) override {
    return Send(bytes, end_stream);
  }
  void SendTrailers(const HeaderMap& trailers) override { SendTrailerFields(trailers); }
  void Reset(ResetReason reason) override { ResetLocally(reason); }
  Arena& arena() override { return arena_; }
  net::Connection* connection() override;

 protected:
  Stream& stream() override { return *this; }
};

}  // namespace meltemi::http::h2
