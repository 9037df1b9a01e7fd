// SPDX-License-Identifier: Apache-2.0
#include "galley/store/uid.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cstring>

#include "lib/base/check.h"

namespace meltemi::galley {
namespace {

using UidBytes = std::array<unsigned char, 16>;

std::string UidText(UidBytes bytes, unsigned version) {
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | (version << 4));
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", bytes[i]);
  }
  return text;
}

std::array<unsigned char, SHA256_DIGEST_LENGTH> Sha256(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

}  // namespace

std::string RandomUid() {
  UidBytes bytes;
  MELTEMI_CHECK(RAND_bytes(bytes.data(), bytes.size()) == 1);
  return UidText(bytes, 4);
}

std::string StableUid(std::string_view text) {
  UidBytes bytes;
  std::memcpy(bytes.data(), Sha256(text).data(), bytes.size());
  return UidText(bytes, 8);
}

std::string Sha256Hex(std::string_view bytes) {
  std::string hex;
  for (const unsigned char byte : Sha256(bytes)) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace meltemi::galley
