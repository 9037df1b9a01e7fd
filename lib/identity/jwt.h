// SPDX-License-Identifier: Apache-2.0
// JSON web tokens signed with ES256 (RFC 7515, 7518 §3.4): signing and checking of the signature.
// What the claims mean is the caller's business.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "lib/base/status.h"
#include "lib/identity/key.h"

namespace meltemi::identity {

inline constexpr size_t kTokenBytesMax = 16 * 1024;

std::string Base64UrlEncode(std::string_view bytes);  // without padding
StatusOr<std::string> Base64UrlDecode(std::string_view text);

// Requires: `key` is P-256.
StatusOr<std::string> SignJwt(const PrivateKey& key, const nlohmann::json& claims,
                              const std::string& key_id = "");
// The claims, an object, when `key` signed the token. Messages never hold the token.
StatusOr<nlohmann::json> VerifyJwt(const PublicKey& key, std::string_view token);

}  // namespace meltemi::identity
