// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/huffman.h"

#include <array>
#include <cstdint>

namespace meltemi::http::h2 {
namespace {

constexpr int kSymbols = 257;  // the last one is the end of a string
constexpr int kEndOfString = 256;
constexpr int kLengthMax = 30;
constexpr int kPeekBits = 10;  // covers every printable character but six

// RFC 7541 appendix B. The code is canonical, so its lengths are all of it.
constexpr std::array<uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,  //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,  //
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,   // space to /
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,  // 0 to ?
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,   // @ to O
    7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,   // P to _
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,   // ` to o
    6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,  // p to DEL
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,  //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,  //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,  //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,  //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,  //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,  //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,  //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,  //
    30};

struct Code {
  uint32_t bits = 0;
  uint8_t length = 0;
};
struct Short {
  uint8_t symbol = 0;
  uint8_t length = 0;  // 0: the code is longer than kPeekBits
};

struct Tables {
  std::array<Code, kSymbols> codes{};
  std::array<Short, 1 << kPeekBits> shorts{};
  // By length: the first code, how many there are, and where their symbols stand in `symbols`.
  std::array<uint32_t, kLengthMax + 1> first{};
  std::array<uint16_t, kLengthMax + 1> count{};
  std::array<uint16_t, kLengthMax + 1> at{};
  std::array<uint16_t, kSymbols> symbols{};
};

constexpr Tables Build() {
  Tables t;
  uint32_t code = 0;
  uint16_t at = 0;
  for (int length = 1; length <= kLengthMax; ++length) {
    code <<= 1;
    t.first[length] = code;
    t.at[length] = at;
    for (int symbol = 0; symbol < kSymbols; ++symbol) {
      if (kLengths[symbol] != length) continue;
      t.codes[symbol] = {code, static_cast<uint8_t>(length)};
      if (length <= kPeekBits) {
        const uint32_t low = code << (kPeekBits - length);
        for (uint32_t i = 0; i < 1u << (kPeekBits - length); ++i) {
          t.shorts[low + i] = {static_cast<uint8_t>(symbol), static_cast<uint8_t>(length)};
        }
      }
      t.symbols[at++] = static_cast<uint16_t>(symbol);
      ++t.count[length];
      ++code;
    }
  }
  return t;
}

constexpr Tables kTables = Build();
static_assert(kTables.codes[kEndOfString].bits == 0x3fffffff, "the code fills its tree");

struct Found {
  int symbol = -1;
  int length = 0;
};

// `bits`: the next 32 of the input, ones behind its end.
Found FindLong(uint32_t bits) {
  for (int length = kPeekBits + 1; length <= kLengthMax; ++length) {
    const uint32_t offset = (bits >> (32 - length)) - kTables.first[length];
    if (offset < kTables.count[length]) {
      return {kTables.symbols[kTables.at[length] + offset], length};
    }
  }
  return {};
}

}  // namespace

std::optional<size_t> HuffmanDecode(std::string_view coded, char* to) {
  const char* const begin = to;
  const char* from = coded.data();
  const char* const end = from + coded.size();
  uint64_t held = 0;  // the low `count` bits wait
  int count = 0;
  for (;;) {
    while (count <= 48 && from != end) {
      held = held << 8 | static_cast<uint8_t>(*from++);
      count += 8;
    }
    // Ones behind the end look like the start of the end-of-string code.
    const uint64_t ones = ~uint64_t{0};
    const uint32_t next = count >= 32 ? static_cast<uint32_t>(held >> (count - 32))
                          : count == 0
                              ? static_cast<uint32_t>(ones)
                              : static_cast<uint32_t>(held << (32 - count) | ones >> (32 + count));
    const Short found = kTables.shorts[next >> (32 - kPeekBits)];
    int length = found.length;
    int symbol = found.symbol;
    if (length == 0) {
      const Found longer = FindLong(next);
      length = longer.length;
      symbol = longer.symbol;
    }
    if (length > count) break;
    if (symbol == kEndOfString) return std::nullopt;
    *to++ = static_cast<char>(symbol);
    count -= length;
  }
  const uint64_t mask = (uint64_t{1} << count) - 1;
  if (count >= 8 || (held & mask) != mask) return std::nullopt;
  return static_cast<size_t>(to - begin);
}

size_t HuffmanSize(std::string_view text) {
  size_t bits = 0;
  for (const char c : text) bits += kLengths[static_cast<uint8_t>(c)];
  return (bits + 7) / 8;
}

char* HuffmanEncode(std::string_view text, char* to) {
  uint64_t held = 0;
  int count = 0;
  for (const char c : text) {
    const Code code = kTables.codes[static_cast<uint8_t>(c)];
    held = held << code.length | code.bits;
    count += code.length;
    while (count >= 8) {
      count -= 8;
      *to++ = static_cast<char>(held >> count);
    }
  }
  if (count > 0) *to++ = static_cast<char>(held << (8 - count) | 0xffu >> count);
  return to;
}

}  // namespace meltemi::http::h2
