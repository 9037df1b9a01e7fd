// SPDX-License-Identifier: Apache-2.0
#include "lib/identity/jwt.h"

#include <array>

#include <openssl/ecdsa.h>
#include <nlohmann/json.hpp>

#include "lib/identity/openssl.h"

namespace meltemi::identity {
namespace {

using nlohmann::json;

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr int kCoordinateBytes = 32;  // r and s of P-256

using EcdsaSigPtr = std::unique_ptr<ECDSA_SIG, OpenSslFree<ECDSA_SIG_free>>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// libcrypto writes DER, the token wants r and s side by side (RFC 7518 §3.4).
StatusOr<std::string> DerToRaw(std::string_view der) {
  const unsigned char* at = Bytes(der);
  const EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string raw(2 * kCoordinateBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  if (signature == nullptr ||
      BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, kCoordinateBytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + kCoordinateBytes, kCoordinateBytes) <
          0) {
    return OpenSslError("signing a token: the key is not P-256");
  }
  return raw;
}

std::string RawToDer(std::string_view raw) {
  const EcdsaSigPtr signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(Bytes(raw), kCoordinateBytes, nullptr),
                 BN_bin2bn(Bytes(raw) + kCoordinateBytes, kCoordinateBytes, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string result(reinterpret_cast<char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return result;
}

bool IsEs256(std::string_view header_text) {
  const json header = json::parse(header_text, nullptr, false);
  if (!header.is_object()) return false;
  const auto algorithm = header.find("alg");
  return algorithm != header.end() && *algorithm == "ES256" && !header.contains("crit");
}

}  // namespace

std::string Base64UrlEncode(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 4 / 3 + 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    count += 8;
    while (count >= 6) text += kAlphabet[(bits >> (count -= 6)) & 63];
  }
  if (count > 0) text += kAlphabet[(bits << (6 - count)) & 63];
  return text;
}

StatusOr<std::string> Base64UrlDecode(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return absl::InvalidArgumentError("not base64url");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) bytes += static_cast<char>((bits >> (count -= 8)) & 255);
  }
  // Left-over bits must be zero, or one value would have several spellings.
  if (count >= 6 || (bits & ((1U << count) - 1)) != 0) {
    return absl::InvalidArgumentError("not base64url");
  }
  return bytes;
}

StatusOr<std::string> SignJwt(const PrivateKey& key, const json& claims,
                              const std::string& key_id) {
  json header = {{"alg", "ES256"}, {"typ", "JWT"}};
  if (!key_id.empty()) header["kid"] = key_id;
  std::string token = Base64UrlEncode(header.dump()) + "." + Base64UrlEncode(claims.dump());
  const EvpDigestPtr context(EVP_MD_CTX_new());
  std::array<unsigned char, 128> der{};
  size_t size = der.size();
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.native()) != 1 ||
      EVP_DigestSign(context.get(), der.data(), &size, Bytes(token), token.size()) != 1) {
    return OpenSslError("signing a token");
  }
  MELTEMI_ASSIGN_OR_RETURN(const std::string raw,
                           DerToRaw({reinterpret_cast<char*>(der.data()), size}));
  return token + "." + Base64UrlEncode(raw);
}

StatusOr<json> VerifyJwt(const PublicKey& key, std::string_view token) {
  const Status malformed = absl::UnauthenticatedError("token is malformed");
  if (token.size() > kTokenBytesMax) return absl::UnauthenticatedError("token is over 16 KiB");
  const size_t first = token.find('.');
  const size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return malformed;
  const auto header = Base64UrlDecode(token.substr(0, first));
  const auto payload = Base64UrlDecode(token.substr(first + 1, second - first - 1));
  const auto signature = Base64UrlDecode(token.substr(second + 1));
  if (!header.ok() || !payload.ok() || !signature.ok()) return malformed;
  // The algorithm is fixed here, never taken from the token (RFC 8725 §3.1).
  if (!IsEs256(*header)) return absl::UnauthenticatedError("token is not signed with ES256");
  if (signature->size() != 2 * kCoordinateBytes) return malformed;
  const std::string der = RawToDer(*signature);
  const EvpDigestPtr context(EVP_MD_CTX_new());
  const bool is_signed =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.native()) == 1 &&
      EVP_DigestVerify(context.get(), Bytes(der), der.size(), Bytes(token), second) == 1;
  ERR_clear_error();
  if (!is_signed) return absl::UnauthenticatedError("token is not signed by this mesh");
  json claims = json::parse(*payload, nullptr, false);
  if (!claims.is_object()) return malformed;
  return claims;
}

}  // namespace meltemi::identity
