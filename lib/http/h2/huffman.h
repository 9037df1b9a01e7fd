// SPDX-License-Identifier: Apache-2.0
// The Huffman code of header compression (RFC 7541 §5.2, appendix B). Pure; thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace meltemi::http::h2 {

// Most bytes that `bytes` coded ones can stand for: no code is shorter than five bits.
constexpr size_t HuffmanDecodedMax(size_t bytes) {
  return bytes * 8 / 5;
}

// Writes the text to `to`, which has room for HuffmanDecodedMax(coded.size()). Nothing when the
// input holds the end-of-string code, or is padded with anything but up to seven one bits.
std::optional<size_t> HuffmanDecode(std::string_view coded, char* to);

// Bytes that HuffmanEncode writes for `text`.
size_t HuffmanSize(std::string_view text);
// Returns the end of what was written.
char* HuffmanEncode(std::string_view text, char* to);

}  // namespace meltemi::http::h2
