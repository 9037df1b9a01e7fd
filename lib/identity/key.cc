// SPDX-License-Identifier: Apache-2.0
#include "lib/identity/key.h"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/identity/openssl.h"

namespace meltemi::identity {
namespace {

constexpr size_t kPemBytesMax = 64 * 1024;

int CopyPassword(char* to, int size, int, void* password) {
  const auto& text = *static_cast<const std::string*>(password);
  if (text.size() > static_cast<size_t>(size)) return -1;
  text.copy(to, text.size());
  return static_cast<int>(text.size());
}

// Encrypted keys would make libcrypto ask on the terminal: answer with an empty password instead.
int NoPassword(char*, int, int, void*) {
  return 0;
}

}  // namespace

StatusOr<PublicKey> PublicKey::FromPem(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return absl::InvalidArgumentError("public key: too large");
  const BioPtr bio = ReadBio(pem);
  EVP_PKEY* key = PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassword, nullptr);
  if (key == nullptr) return OpenSslError("public key is not valid PEM");
  return PublicKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

std::string PublicKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key_.get());
  return TakeText(bio);
}

std::string PublicKey::Describe() const {
  const char* name = EVP_PKEY_get0_type_name(key_.get());
  return fmt::format("{} {}", name == nullptr ? "unknown" : name, EVP_PKEY_get_bits(key_.get()));
}

bool PublicKey::is_strong() const {
  // 112 bits is NIST's floor and what RSA 2048 gives; P-256 and Ed25519 give 128.
  return EVP_PKEY_get_security_bits(key_.get()) >= 112;
}

bool PublicKey::operator==(const PublicKey& other) const {
  return EVP_PKEY_eq(key_.get(), other.key_.get()) == 1;
}

StatusOr<PrivateKey> PrivateKey::Generate() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return OpenSslError("generating a P-256 key");
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return absl::InvalidArgumentError("private key: too large");
  const BioPtr bio = ReadBio(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr);
  if (key == nullptr) return OpenSslError("private key is not valid unencrypted PEM");
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem, const std::string& password) {
  if (pem.size() > kPemBytesMax) return absl::InvalidArgumentError("private key: too large");
  const BioPtr bio = ReadBio(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, CopyPassword,
                                          const_cast<std::string*>(&password));
  // The reason stays here: which padding was wrong says something of the password.
  if (key == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("private key does not open with the password, or is no PEM");
  }
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

std::string PrivateKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return TakeText(bio);
}

}  // namespace meltemi::identity
