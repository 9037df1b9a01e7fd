// SPDX-License-Identifier: Apache-2.0
// Encodes header blocks (RFC 7541). Worker-local, one per connection and direction.
//
// What repeats is indexed: a field enters the table when it is seen for the second time, so that
// values which never come again (request ids, paths with keys) do not push out those that do.
// Credentials never enter it, and are marked so that no hop behind us enters them (§7.1.3).
// Lookups are by hash into small caches, verified by comparison: a collision costs a
// few bytes, never a wrong field.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/http/h2/hpack_table.h"
#include "lib/net/buffer.h"

namespace meltemi::http::h2 {

class HpackEncoder final {
 public:
  // Cookies shorter than this can be guessed byte by byte through the table (§7.1).
  static constexpr size_t kGuessableCookieBytes = 20;

  // The least of what the peer allows and what we care to hold; the next block tells the peer.
  void SetTableSize(size_t bytes);
  void BeginBlock(net::Buffer& out);
  void Encode(HeaderId id, std::string_view name, std::string_view value, net::Buffer& out);

 private:
  static constexpr size_t kFieldSlots = 128;
  static constexpr size_t kNameSlots = 32;
  struct Slot {
    uint32_t number = ~0u;  // of the entry, as DynamicTable counts
    uint32_t hash = 0;      // of the entry
    uint32_t seen = 0;      // hash of the last field that came here without being entered
  };

  // A field may be in either of two slots, so that two that repeat seldom fight for one.
  Slot& First(uint32_t hash) { return fields_[hash % kFieldSlots]; }
  Slot& Second(uint32_t hash) { return fields_[(hash >> 16) % kFieldSlots]; }
  bool IsIn(const Slot& slot, uint32_t hash, std::string_view name, std::string_view value) const;
  char* EncodeNew(HeaderId id, std::string_view name, uint32_t name_hash, std::string_view value,
                  uint32_t hash, char* to);
  size_t FindName(std::string_view name, uint32_t hash) const;

  DynamicTable table_;
  std::array<Slot, kFieldSlots> fields_{};
  std::array<uint32_t, kNameSlots> names_{};
  size_t smallest_size_ = 4096;
  bool has_new_size_ = false;
};

}  // namespace meltemi::http::h2
