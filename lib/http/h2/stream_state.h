// SPDX-License-Identifier: Apache-2.0
// What the protocol knows of one stream (RFC 9113 §5.1), the table by which streams are found, and
// the lists in which those with something to send take turns. Worker-local. A state is part of its
// owner's stream object, which outlives its time in table and lists.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/http/headers.h"
#include "lib/net/buffer.h"

namespace meltemi::http::h2 {

class WriterList;

struct StreamState {
  explicit StreamState(net::BlockPool& pool) : unsent(pool) {}
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;
  void Recycle();

  int32_t id = 0;
  int64_t send_window = 0;
  int64_t receive_window = 0;
  uint32_t unreturned = 0;  // consumed bytes that the peer was not told of yet
  int64_t body_left = -1;   // of what content-length promised; -1 = unknown
  net::Buffer unsent;
  const HeaderMap* trailers = nullptr;  // to be sent behind `unsent`
  WriterList* list = nullptr;           // the one it waits in
  StreamState* next = nullptr;
  StreamState* previous = nullptr;
  bool is_open = false;         // in the table
  bool is_remote_done = false;  // END_STREAM came
  bool is_local_done = false;   // END_STREAM went
  bool is_head_sent = false;
  bool is_send_ended = false;  // nothing follows `unsent` but trailers
  bool has_head = false;       // the final head came: what follows is DATA and trailers
  bool is_head_request = false;
  bool is_connect = false;
  bool is_tunnel = false;  // halves end on their own
};

// First in, first out.
class WriterList final {
 public:
  bool empty() const { return first_ == nullptr; }
  void Push(StreamState& stream);
  StreamState& Pop();
  void Remove(StreamState& stream);

 private:
  StreamState* first_ = nullptr;
  StreamState* last_ = nullptr;
};

// Open addressing by stream id. Allocates only to grow.
class StreamTable final {
 public:
  size_t size() const { return size_; }
  StreamState* Find(int32_t id) const;
  void Insert(StreamState& stream);
  void Erase(int32_t id);
  // Any stream with a larger id.
  StreamState* FindAbove(int32_t id) const;
  template <typename Function>
  void ForEach(Function function) const {
    for (StreamState* stream : slots_) {
      if (stream != nullptr) function(*stream);
    }
  }

 private:
  // Spread: ids that follow each other would make one long cluster, slow to take from.
  size_t Home(int32_t id) const { return static_cast<uint32_t>(id) * 0x9E3779B1u >> shift_; }
  void Grow();

  std::vector<StreamState*> slots_;
  size_t size_ = 0;
  int shift_ = 32;
};

}  // namespace meltemi::http::h2
