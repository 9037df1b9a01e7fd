// SPDX-License-Identifier: Apache-2.0
#include "lib/net/buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::net {

void Buffer::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(Reserve(bytes.size()), bytes.data(), bytes.size());
  Commit(bytes.size());
}

char* Buffer::Reserve(size_t bytes) {
  if (writable_bytes() >= bytes && data_ != nullptr) return data_ + end_;
  const size_t held = size();
  if (data_ != nullptr && held + bytes <= capacity_) {
    std::memmove(data_, data_ + begin_, held);
  } else {
    const size_t needed = held + bytes;
    const bool fits_block = needed <= BlockPool::kBlockBytes;
    const size_t capacity = fits_block
                                ? BlockPool::kBlockBytes
                                : std::max(needed, 2 * std::max<size_t>(capacity_, needed / 2));
    MELTEMI_CHECK(capacity <= UINT32_MAX);
    char* grown = fits_block ? pool_.Take() : new char[capacity];
    if (held > 0) std::memcpy(grown, data_ + begin_, held);
    Clear();
    data_ = grown;
    capacity_ = static_cast<uint32_t>(capacity);
  }
  begin_ = 0;
  end_ = static_cast<uint32_t>(held);
  return data_ + end_;
}

void Buffer::Consume(size_t bytes) {
  MELTEMI_CHECK(bytes <= size());
  begin_ += static_cast<uint32_t>(bytes);
  if (begin_ == end_) Clear();
}

void Buffer::Swap(Buffer& other) {
  std::swap(data_, other.data_);
  std::swap(begin_, other.begin_);
  std::swap(end_, other.end_);
  std::swap(capacity_, other.capacity_);
}

void Buffer::Clear() {
  if (data_ == nullptr) return;
  // A private allocation is always larger than a block.
  if (capacity_ == BlockPool::kBlockBytes) {
    pool_.Give(data_);
  } else {
    delete[] data_;
  }
  data_ = nullptr;
  begin_ = end_ = capacity_ = 0;
}

}  // namespace meltemi::net
