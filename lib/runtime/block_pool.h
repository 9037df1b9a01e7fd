// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace meltemi::runtime {

// Free list of equal blocks; one per worker. Keeps at most `kept_blocks_max` free blocks.
class BlockPool final {
 public:
  static constexpr size_t kBlockBytes = 16 * 1024;
  explicit BlockPool(size_t kept_blocks_max = 64);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  char* Take();
  void Give(char* block);
  size_t blocks_in_use() const { return in_use_; }

 private:
  const size_t kept_blocks_max_;
  std::vector<char*> free_;
  size_t in_use_ = 0;
};

}  // namespace meltemi::runtime
