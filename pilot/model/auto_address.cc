// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/auto_address.h"

#include <xxhash.h>

namespace meltemi::pilot {
namespace {

constexpr uint32_t kAddresses = 0x10000;

// Addresses that end in .0 or .255 are taken for networks by some clients.
constexpr bool IsUsable(uint16_t offset) {
  return (offset & 0xff) != 0 && (offset & 0xff) != 0xff;
}

std::string Text(uint16_t offset) {
  return "240.240." + std::to_string(offset >> 8) + "." + std::to_string(offset & 0xff);
}

}  // namespace

std::string AutoAddresses::Take(const std::string& name) {
  if (const auto found = taken_.find(name); found != taken_.end()) return Text(found->second);
  const uint64_t hash = XXH64(name.data(), name.size(), 0);
  // An odd step visits every offset of the power of two.
  const uint32_t step = static_cast<uint32_t>(hash >> 32) | 1;
  uint32_t offset = static_cast<uint32_t>(hash);
  for (uint32_t i = 0; i < kAddresses; ++i, offset += step) {
    const auto candidate = static_cast<uint16_t>(offset);
    if (!IsUsable(candidate) || !owners_.try_emplace(candidate, name).second) continue;
    taken_[name] = candidate;
    return Text(candidate);
  }
  return {};
}

void AutoAddresses::Release(const std::string& name) {
  const auto found = taken_.find(name);
  if (found == taken_.end()) return;
  owners_.erase(found->second);
  taken_.erase(found);
}

}  // namespace meltemi::pilot
