// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/names.h"

#include <algorithm>
#include <string>

namespace meltemi::tls {
namespace {

struct Named {
  std::string_view name;
  uint16_t number;  // IANA's; 0 = known, never offered
};

constexpr Named kCiphers[] = {
    {"ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c},
    {"ECDHE-RSA-AES128-GCM-SHA256", 0xc02f},
    {"ECDHE-RSA-AES256-GCM-SHA384", 0xc030},
    {"ECDHE-RSA-CHACHA20-POLY1305", 0xcca8},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9},
    {"AES128-GCM-SHA256", 0},
    {"AES256-GCM-SHA384", 0},
};

constexpr Named kGroups[] = {
    {"X25519", 29},    {"P-256", 23},     {"prime256v1", 23}, {"P-384", 24},
    {"secp384r1", 24}, {"secp256r1", 23}, {"x25519", 29},     {"X25519MLKEM768", 4588},
};

template <size_t N>
const Named* Find(const Named (&table)[N], std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Named& of) { return of.name == name; });
  return found == std::end(table) ? nullptr : found;
}

std::string Quoted(std::string_view name) {
  return "\"" + std::string(name.substr(0, 100)) + "\"";
}

Status NoCipher(std::string_view name) {
  return absl::InvalidArgumentError(
      Quoted(name) +
      ": no such cipher suite for TLS 1.2 here; there are ECDHE-{ECDSA,RSA}-AES{128-GCM-SHA256,"
      "256-GCM-SHA384} and ECDHE-{ECDSA,RSA}-CHACHA20-POLY1305");
}

}  // namespace

StatusOr<std::vector<uint16_t>> CiphersOf(std::string_view entry) {
  std::vector<uint16_t> numbers;
  std::string_view rest = entry;
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  while (true) {
    const size_t bar = std::min(rest.find('|'), rest.size());
    const Named* found = Find(kCiphers, rest.substr(0, bar));
    if (found == nullptr) return NoCipher(rest.substr(0, bar));
    if (found->number != 0) numbers.push_back(found->number);
    if (bar == rest.size()) return numbers;
    rest.remove_prefix(bar + 1);
  }
}

StatusOr<uint16_t> GroupOf(std::string_view name) {
  if (const Named* found = Find(kGroups, name)) return found->number;
  return absl::InvalidArgumentError(
      Quoted(name) +
      ": no such key exchange group here; there are X25519, P-256, P-384, "
      "X25519MLKEM768");
}

std::vector<uint16_t> FipsCiphers() {
  return {0x1301, 0x1302, 0xc02b, 0xc02f, 0xc02c, 0xc030};
}

std::vector<uint16_t> FipsGroups() {
  return {23, 24};
}

}  // namespace meltemi::tls
