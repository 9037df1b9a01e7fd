// SPDX-License-Identifier: Apache-2.0
// Character classes of RFC 9110 and the scanning loops of the HTTP/1 parser. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace meltemi::http::h1 {

// Maps a token character to its lower case, anything else to 0.
extern const std::array<char, 256> kTokenLower;
// Characters of uri-host [":" port]: no userinfo, no delimiters of a path.
extern const std::array<bool, 256> kHostCharacter;

bool IsToken(std::string_view text);
bool IsHost(std::string_view text);
// A protocol name fit for an Upgrade answer: a token, "name/version" too, not h2c.
bool IsUpgrade(std::string_view text);

// First byte that may not stand in a field value: a control other than HTAB. Reads 16 bytes at a
// time, so 16 readable bytes must follow the end that the caller knows to exist.
const char* FindValueEnd(const char* at);

}  // namespace meltemi::http::h1
