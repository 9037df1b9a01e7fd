// SPDX-License-Identifier: Apache-2.0
// Cipher suites and key exchange groups by the names Envoy's configuration has for them
// (BoringSSL's and OpenSSL's), as far as the engine has them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::tls {

// One entry of a cipher list: a name, or names of equal preference "[A|B]". TLS 1.2 only: BoringSSL
// does not let a list choose among TLS 1.3's. AES128-GCM-SHA256 and AES256-GCM-SHA384, whose key
// exchange has no forward secrecy, are known and give nothing: istiod lists them last, for clients
// that have nothing better, and to such clients we say no.
StatusOr<std::vector<uint16_t>> CiphersOf(std::string_view entry);

StatusOr<uint16_t> GroupOf(std::string_view name);

// FIPS_202205: what the policy leaves of ciphers and groups; TLS 1.3's ciphers are among them.
std::vector<uint16_t> FipsCiphers();
std::vector<uint16_t> FipsGroups();

}  // namespace meltemi::tls
