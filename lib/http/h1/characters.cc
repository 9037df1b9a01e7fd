// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/characters.h"

#include <cstring>

#include "lib/http/h1/head_parser.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace meltemi::http::h1 {
namespace {

constexpr std::array<char, 256> BuildTokenLower() {
  std::array<char, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = static_cast<char>(c);
  for (int c = '0'; c <= '9'; ++c) table[c] = static_cast<char>(c);
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = c;
  return table;
}

constexpr std::array<bool, 256> BuildHostCharacters() {
  std::array<bool, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = true;
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  // unreserved, sub-delims, percent, and what IPv6 literals and ports need (RFC 3986 §3.2.2).
  for (const char c : std::string_view("-._~!$&'()*+;=%:[]")) table[static_cast<uint8_t>(c)] = true;
  return table;
}

}  // namespace

constinit const std::array<char, 256> kTokenLower = BuildTokenLower();
constinit const std::array<bool, 256> kHostCharacter = BuildHostCharacters();

bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (kTokenLower[static_cast<uint8_t>(c)] == 0) return false;
  }
  return !text.empty();
}

bool IsHost(std::string_view text) {
  for (const char c : text) {
    if (!kHostCharacter[static_cast<uint8_t>(c)]) return false;
  }
  return true;
}

bool IsUpgrade(std::string_view text) {
  if (text.empty() || EqualsIgnoreCase(text, "h2c")) return false;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return IsToken(text);
  return IsToken(text.substr(0, slash)) && IsToken(text.substr(slash + 1));
}

#ifdef __SSE2__

const char* FindValueEnd(const char* at) {
  const __m128i control_max = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (true) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i is_control = _mm_cmpeq_epi8(_mm_min_epu8(block, control_max), block);
    const __m128i stops = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, tab), is_control),
                                       _mm_cmpeq_epi8(block, del));
    const int mask = _mm_movemask_epi8(stops);
    if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
    at += 16;
  }
}

size_t FindHeadEnd(std::string_view bytes, size_t from) {
  const char* const p = bytes.data();
  const size_t size = bytes.size();
  const __m128i cr = _mm_set1_epi8('\r');
  size_t i = from;
  for (; i + 19 <= size; i += 16) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i + 2));
    auto mask = static_cast<unsigned>(
        _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(a, cr), _mm_cmpeq_epi8(b, cr))));
    for (; mask != 0; mask &= mask - 1) {
      const size_t at = i + static_cast<size_t>(__builtin_ctz(mask));
      if (std::memcmp(p + at, "\r\n\r\n", 4) == 0) return at + 4;
    }
  }
  const size_t at = bytes.find("\r\n\r\n", i);
  return at == std::string_view::npos ? at : at + 4;
}

#else

const char* FindValueEnd(const char* at) {
  while ((static_cast<uint8_t>(*at) >= ' ' && *at != 0x7f) || *at == '\t') ++at;
  return at;
}

size_t FindHeadEnd(std::string_view bytes, size_t from) {
  const size_t at = bytes.find("\r\n\r\n", from);
  return at == std::string_view::npos ? at : at + 4;
}

#endif

bool HasBareLineFeed(std::string_view bytes, size_t from) {
  for (size_t at = bytes.find('\n', from); at != std::string_view::npos;
       at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
  }
  return false;
}

}  // namespace meltemi::http::h1
