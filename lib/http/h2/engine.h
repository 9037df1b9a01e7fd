// SPDX-License-Identifier: Apache-2.0
// The protocol of one HTTP/2 connection, either end (RFC 9113): frames, header compression, flow
// control, the life of streams. Knows neither sockets nor messages: bytes come in by Receive, go
// out to a buffer, and what they mean is told to the owner. Worker-local, member of a session.
//
// Invariants:
//  1. Everything but DATA is written where it is submitted, so frames leave in that order and the
//     compression table cannot go out of step. DATA waits for windows and for room in the output,
//     and streams with something to send take turns, a frame each.
//  2. A stream is known from its head until both halves ended or it was reset; the owner is told
//     OnStreamClosed exactly once, and may be in the midst of a call to the engine then.
//  3. Owner calls from within Receive do not call back into streams' owners: a session notes them.
//  4. No allocation per frame or stream once tables and buffers have grown to what the connection
//     needs.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/http/h2/frame.h"
#include "lib/http/h2/hpack_decoder.h"
#include "lib/http/h2/hpack_encoder.h"
#include "lib/http/h2/message_rules.h"
#include "lib/http/h2/stream_state.h"
#include "lib/net/buffer.h"

namespace meltemi::http::h2 {

class EngineOwner {
 public:
  // A frame begins: what its head alone tells. Not kNoError ends the connection.
  virtual ErrorCode OnFrame(const FrameHead& head, bool is_open) = 0;
  // Servers: a request begins.
  virtual StreamState& OnNewRequest(int32_t id) = 0;
  // A head or trailers begin; fields follow. They are well-formed, but more may turn out not to be.
  virtual void OnBlock(StreamState& stream) = 0;
  virtual void OnField(StreamState& stream, const Field& field) = 0;
  // The block was well-formed. May reset or answer the stream.
  virtual void OnBlockEnd(StreamState& stream) = 0;
  virtual void OnData(StreamState& stream, std::string_view bytes) = 0;
  // END_STREAM; comes before the OnBlockEnd of a block that ends a stream.
  virtual void OnRemoteEnd(StreamState& stream) = 0;
  virtual void OnStreamClosed(StreamState& stream, ErrorCode code, bool is_peers_reset) = 0;
  // The peer broke a rule; the stream was reset.
  virtual void OnStreamViolation() = 0;
  virtual void OnSettings() = 0;
  virtual void OnGoAway() = 0;
  virtual void OnPong() = 0;
  // Bytes of `unsent` went.
  virtual void OnSent(StreamState& stream) = 0;
  virtual void OnFrameSent(FrameType type) = 0;
  virtual bool is_output_full() const = 0;

 protected:
  ~EngineOwner() = default;
};

struct EngineOptions {
  bool is_server = true;
  bool allows_connect = true;  // servers
  uint32_t streams_max = 100;
  uint32_t stream_window_bytes = 65535;
  uint32_t connection_window_bytes = 65535;
  uint32_t head_bytes_max = 60 * 1024;  // told to the peer; the owner counts
  uint32_t header_table_bytes = 4096;   // either direction
  uint32_t answers_max = 1000;          // to PING and SETTINGS, that wait for the output
  uint32_t frames_max = 10000;          // of any kind, that wait for the output
};

class Engine final : private FieldSink {
 public:
  // Beyond those that the largest head needs.
  static constexpr uint32_t kSpareContinuations = 64;

  Engine(EngineOwner& owner, const EngineOptions& options, net::Buffer& output);
  // Preface, SETTINGS, the connection's window.
  void Begin();
  // Takes all of it. Not kNoError: the connection must end with that code.
  ErrorCode Receive(std::string_view bytes);
  // DATA that waits, as far as windows and output admit.
  void WriteWaiting();

  // -- streams
  // Clients: gives the stream its id; false = no more on this connection.
  bool Open(StreamState& stream);
  void BeginHead() { BeginBlock(); }
  void AddField(HeaderId id, std::string_view name, std::string_view value) {
    encoder_.Encode(id, name, value, output_);
  }
  void AddNumber(HeaderId id, std::string_view name, int64_t number);
  void AddFields(const HeaderMap& headers);
  void EndHead(StreamState& stream, bool end_stream, bool is_interim);
  // How many were taken; what does not leave at once is kept, up to `unsent_max`.
  size_t Send(StreamState& stream, std::string_view bytes, bool end_stream, size_t unsent_max);
  void Reset(StreamState& stream, ErrorCode code);
  // Forgets it without a word to anybody: the connection is gone.
  void Drop(StreamState& stream);
  // Bytes that came were used (or given up): the peer may send as many again.
  void Consume(StreamState& stream, size_t bytes);
  void ConsumeConnection(size_t bytes);

  // -- connection
  void SendPing(std::string_view opaque);
  // Before the real one: says that it is coming (§6.8).
  void SendNotice() { WriteGoAway(kStreamIdMax, ErrorCode::kNoError); }
  void SendGoAway(ErrorCode code);
  bool can_open() const { return !is_going_away_ && !sent_goaway_ && next_id_ > 0; }
  // GOAWAY went or came, and nothing is left to do.
  bool is_finished() const { return (sent_goaway_ || is_going_away_) && table_.size() == 0; }
  uint32_t peer_streams_max() const { return peer_streams_max_; }
  int64_t connection_send_window() const { return send_window_; }

 private:
  enum class Phase : uint8_t { kBegin, kHead, kPayload, kPadLength, kData, kSkip };

  // -- receiving
  size_t TakePreface(std::string_view bytes);
  size_t TakeHead(std::string_view bytes);
  size_t TakePayload(std::string_view bytes);
  size_t TakePadLength(std::string_view bytes);
  size_t TakeData(std::string_view bytes);
  void BeginFrame();
  void BeginData();
  void EndData();
  void TakeFrame(std::string_view payload);
  void Fail(ErrorCode code) {
    if (failure_ == ErrorCode::kNoError) failure_ = code;
  }
  bool IsIdle(int32_t id) const;
  bool IsOwn(int32_t id) const { return (id & 1) == (options_.is_server ? 0 : 1); }

  void TakeHeaders(std::string_view payload);
  bool TakePriorityFields(std::string_view& payload);
  BlockKind BeginPeersBlock();
  BlockKind BeginRequest();
  void TakeBlock(std::string_view piece, bool is_last);
  void EndBlock();
  void ApplyHead(StreamState& stream);
  void OnField(const Field& field) override;
  void EndRemote(StreamState& stream);
  void Violate(StreamState& stream, ErrorCode code);

  void TakePriority(std::string_view payload);
  void TakeReset(std::string_view payload);
  void TakeSettings(std::string_view payload);
  ErrorCode ApplySetting(Setting setting, uint32_t value);
  ErrorCode ApplySendWindow(uint32_t bytes);
  void ApplyOwnSettings();
  void TakePing(std::string_view payload);
  void TakeGoAway(std::string_view payload);
  void TakeWindowUpdate(std::string_view payload);

  // -- sending
  void Insert(StreamState& stream);
  void Close(StreamState& stream, ErrorCode code, bool is_peers_reset);
  void EndLocal(StreamState& stream);
  bool HasToSend(const StreamState& stream) const;
  void Enlist(StreamState& stream);
  void WriteTurn(StreamState& stream);
  void Finish(StreamState& stream);
  void BeginBlock();
  void EndBlockOut(int32_t id, bool end_stream);
  void SplitBlock(int32_t id, uint8_t flags);
  void WriteData(StreamState& stream, std::string_view bytes, bool end_stream);
  void WriteFrame(FrameType type, uint8_t flags, int32_t id, std::string_view payload);
  void WriteReset(int32_t id, ErrorCode code);
  void WriteWindowUpdate(int32_t id, uint32_t bytes);
  void WriteGoAway(int32_t last, ErrorCode code);
  void CountWaiting(bool is_answer);

  EngineOwner& owner_;
  const EngineOptions options_;
  net::Buffer& output_;
  StreamTable table_;
  WriterList writers_;
  WriterList blocked_;  // by the connection's window
  HpackDecoder decoder_;
  HpackEncoder encoder_;
  MessageRules rules_;

  // The frame that is coming in.
  Phase phase_;
  FrameHead head_;
  std::array<char, kFrameHeadBytes> head_bytes_{};
  size_t held_ = 0;       // of a head or the preface
  uint32_t left_ = 0;     // payload bytes to come
  uint32_t padding_ = 0;  // of which are padding
  net::Buffer payload_;   // of a frame that came in pieces
  bool is_first_ = true;  // the peer's SETTINGS must come first
  ErrorCode failure_ = ErrorCode::kNoError;

  // The header block that is coming in.
  BlockKind block_kind_ = BlockKind::kIgnored;
  int32_t block_id_ = 0;  // 0 = none
  uint32_t continuations_ = 0;
  StreamState* block_stream_ = nullptr;  // during a call to the decoder
  bool block_ends_stream_ = false;
  bool is_block_malformed_ = false;

  size_t block_at_ = 0;  // where in the output the block being written begins

  int64_t receive_window_ = kWindowAtStart;
  uint64_t unreturned_ = 0;
  int64_t send_window_ = kWindowAtStart;
  int64_t stream_receive_window_ = kWindowAtStart;  // of new streams; ours once acknowledged
  int64_t stream_send_window_ = kWindowAtStart;
  uint32_t peer_streams_max_ = 0xffffffff;
  int32_t next_id_ = 1;                // clients
  int32_t last_peer_id_ = 0;           // servers: the last that was opened
  int32_t peers_last_ = kStreamIdMax;  // of its GOAWAY
  uint32_t answers_waiting_ = 0;
  uint32_t frames_waiting_ = 0;
  bool is_acknowledged_ = false;
  bool is_going_away_ = false;  // the peer
  bool sent_goaway_ = false;    // no notice, the real one
};

}  // namespace meltemi::http::h2
