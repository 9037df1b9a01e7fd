// SPDX-License-Identifier: Apache-2.0
// A bump allocator for what lives as long as one stream: header text, rewritten paths, small
// records. Worker-local. Reset() keeps the first chunk, so a recycled arena does not touch the
// heap.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace meltemi {

class Arena final {
 public:
  explicit Arena(size_t first_chunk_bytes = 2048) : chunk_bytes_(first_chunk_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  char* Allocate(size_t bytes, size_t alignment = 1) {
    size_t at = (used_ + alignment - 1) & ~(alignment - 1);
    if (chunks_.empty() || at + bytes > current_bytes_) {
      Grow(bytes);
      at = 0;
    }
    used_ = at + bytes;
    return current_ + at;
  }

  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {};
    char* to = Allocate(text.size());
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }

  // Everything handed out becomes invalid.
  void Reset() {
    if (chunks_.empty()) return;
    chunks_.resize(1);
    current_ = chunks_.front().get();
    current_bytes_ = chunk_bytes_;
    used_ = 0;
  }

 private:
  void Grow(size_t bytes) {
    // The first chunk is always of the standard size, so that Reset can rely on it.
    if (chunks_.empty() && bytes > chunk_bytes_) Add(chunk_bytes_);
    Add(bytes > chunk_bytes_ ? bytes : chunk_bytes_);
  }
  void Add(size_t bytes) {
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
    current_ = chunks_.back().get();
    current_bytes_ = bytes;
    used_ = 0;
  }

  const size_t chunk_bytes_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* current_ = nullptr;
  size_t current_bytes_ = 0;
  size_t used_ = 0;
};

}  // namespace meltemi
