// SPDX-License-Identifier: Apache-2.0
// Numbers as protocols carry them, the most significant byte first. Pure; the caller knows that the
// bytes are there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace meltemi {

template <typename Number>
Number ReadBigEndian(const void* from) {
  const auto* const bytes = static_cast<const uint8_t*>(from);
  Number number = 0;
  for (size_t i = 0; i < sizeof number; ++i) number = static_cast<Number>(number << 8 | bytes[i]);
  return number;
}

template <typename Number>
void WriteBigEndian(void* to, Number number) {
  auto* const bytes = static_cast<uint8_t*>(to);
  for (size_t i = sizeof number; i > 0; number = static_cast<Number>(number >> 8)) {
    bytes[--i] = static_cast<uint8_t>(number);
  }
}

inline uint16_t ReadUint16(const void* from) {
  return ReadBigEndian<uint16_t>(from);
}
inline uint32_t ReadUint32(const void* from) {
  return ReadBigEndian<uint32_t>(from);
}
inline void WriteUint16(void* to, uint16_t number) {
  WriteBigEndian(to, number);
}
inline void WriteUint32(void* to, uint32_t number) {
  WriteBigEndian(to, number);
}

}  // namespace meltemi
