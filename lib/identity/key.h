// SPDX-License-Identifier: Apache-2.0
// Asymmetric keys. Immutable, thread-safe, cheap to copy. A private key leaves this object only
// through ToPem(), whose result belongs in a file of mode 0600 or in a TLS context, never in a log.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/status.h"

struct evp_pkey_st;

namespace meltemi::identity {

class PublicKey final {
 public:
  static StatusOr<PublicKey> FromPem(std::string_view pem);
  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::string ToPem() const;
  // "EC P-256", "RSA 2048" …, for messages.
  std::string Describe() const;
  // At least the strength of P-256 or RSA 2048.
  bool is_strong() const;
  bool operator==(const PublicKey& other) const;
  evp_pkey_st* native() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

class PrivateKey final {
 public:
  static StatusOr<PrivateKey> Generate();                     // ECDSA P-256
  static StatusOr<PrivateKey> FromPem(std::string_view pem);  // PKCS#8, SEC1 or PKCS#1, unencrypted
  static StatusOr<PrivateKey> FromPem(std::string_view pem, const std::string& password);
  std::string ToPem() const;  // PKCS#8
  PublicKey public_key() const { return PublicKey(key_); }
  evp_pkey_st* native() const { return key_.get(); }

 private:
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace meltemi::identity
