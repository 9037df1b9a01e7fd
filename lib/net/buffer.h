// SPDX-License-Identifier: Apache-2.0
// A contiguous byte queue whose memory is borrowed from a worker's pool only while bytes are in it.
// Worker-local. An idle connection therefore holds no buffer memory at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/runtime/block_pool.h"

namespace meltemi::net {

using BlockPool = runtime::BlockPool;

// Bytes [begin, end) of one allocation: a pool block while they fit, a private larger one beyond
// (a 60 KiB header block). Views into it stay valid until the next call that adds or removes bytes.
class Buffer final {
 public:
  explicit Buffer(BlockPool& pool) : pool_(pool) {}
  ~Buffer() { Clear(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::string_view view() const { return {data_ + begin_, size()}; }
  char* mutable_data() { return data_ + begin_; }
  size_t size() const { return size_t{end_} - begin_; }
  bool empty() const { return begin_ == end_; }
  BlockPool& pool() { return pool_; }

  void Append(std::string_view bytes);
  // Room for at least `bytes` at the end; write there, then Commit what was written.
  char* Reserve(size_t bytes);
  size_t writable_bytes() const { return capacity_ - end_; }
  void Commit(size_t bytes) { end_ += static_cast<uint32_t>(bytes); }
  // Drops bytes from the front; an empty buffer gives its memory back.
  void Consume(size_t bytes);
  void Clear();
  // Exchanges the bytes of two buffers of one pool.
  void Swap(Buffer& other);

 private:
  BlockPool& pool_;
  char* data_ = nullptr;
  // Far below 4 GiB: whoever fills a buffer has a limit.
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace meltemi::net
