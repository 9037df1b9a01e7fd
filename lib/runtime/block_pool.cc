// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/block_pool.h"

namespace meltemi::runtime {

BlockPool::BlockPool(size_t kept_blocks_max) : kept_blocks_max_(kept_blocks_max) {
  free_.reserve(kept_blocks_max_);
}

BlockPool::~BlockPool() {
  for (char* block : free_) delete[] block;
}

char* BlockPool::Take() {
  ++in_use_;
  if (free_.empty()) return new char[kBlockBytes];
  char* block = free_.back();
  free_.pop_back();
  return block;
}

void BlockPool::Give(char* block) {
  --in_use_;
  if (free_.size() < kept_blocks_max_) {
    free_.push_back(block);
  } else {
    delete[] block;
  }
}

}  // namespace meltemi::runtime
