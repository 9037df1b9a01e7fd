// SPDX-License-Identifier: Apache-2.0
// Signing requests and the making of certificates.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "lib/identity/certificate.h"
#include "lib/identity/openssl.h"

namespace meltemi::identity {
namespace {

constexpr size_t kCsrBytesMax = 64 * 1024;

bool PushName(GENERAL_NAMES* names, int type, const std::string& text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool PushIp(GENERAL_NAMES* names, const std::string& text) {
  ASN1_OCTET_STRING* value = a2i_IPADDRESS(text.c_str());
  if (value == nullptr) return false;
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_IPADD, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

GeneralNamesPtr ToGeneralNames(const AltNames& from) {
  GeneralNamesPtr names(GENERAL_NAMES_new());
  for (const auto& uri : from.uris) PushName(names.get(), GEN_URI, uri);
  for (const auto& dns : from.dns) PushName(names.get(), GEN_DNS, dns);
  for (const auto& ip : from.ips) PushIp(names.get(), ip);
  return names;
}

bool AddExtension(X509* x509, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) return false;
  const bool is_added = X509_add_ext(x509, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return is_added;
}

bool SetSerial(X509* x509) {
  // RFC 5280 §4.1.2.2: positive, at most 20 octets; 128 random bits never repeat.
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  const bool is_set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nullptr;
  BN_free(number);
  return is_set;
}

bool AddUsage(X509* x509, X509* issuer, bool is_ca) {
  if (is_ca) {
    return AddExtension(x509, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
           AddExtension(x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           AddExtension(x509, issuer, NID_subject_key_identifier, "hash");
  }
  return AddExtension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
         AddExtension(x509, issuer, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
         AddExtension(x509, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
         AddExtension(x509, issuer, NID_authority_key_identifier, "keyid");
}

// Ed25519 signs without a digest of its own.
const EVP_MD* DigestFor(const PrivateKey& key) {
  return EVP_PKEY_is_a(key.native(), "ED25519") ? nullptr : EVP_sha256();
}

}  // namespace

// Makes certificates out of specs; a friend, because nothing else may wrap a bare X509.
class Issuing final {
 public:
  static StatusOr<Certificate> Build(const Certificate* issuer, const PrivateKey& signer,
                                     const PublicKey& subject, const IssueSpec& spec) {
    X509Ptr x509(X509_new());
    X509* parent = issuer == nullptr ? x509.get() : issuer->native();
    X509_set_version(x509.get(), X509_VERSION_3);
    X509_NAME* name = X509_get_subject_name(x509.get());
    if (!spec.organization.empty()) {
      X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(spec.organization.data()),
                                 static_cast<int>(spec.organization.size()), -1, 0);
    }
    const bool is_built =
        SetSerial(x509.get()) && X509_set_issuer_name(x509.get(), X509_get_subject_name(parent)) &&
        ASN1_TIME_set(X509_getm_notBefore(x509.get()),
                      std::chrono::system_clock::to_time_t(spec.not_before)) != nullptr &&
        ASN1_TIME_set(X509_getm_notAfter(x509.get()),
                      std::chrono::system_clock::to_time_t(spec.not_after)) != nullptr &&
        X509_set_pubkey(x509.get(), subject.native()) && AddNames(x509.get(), spec) &&
        AddUsage(x509.get(), parent, spec.is_ca) &&
        X509_sign(x509.get(), signer.native(), DigestFor(signer)) > 0;
    if (!is_built) return OpenSslError("issuing a certificate");
    return Certificate(std::shared_ptr<x509_st>(x509.release(), X509_free));
  }

 private:
  static bool AddNames(X509* x509, const IssueSpec& spec) {
    const GeneralNamesPtr names = ToGeneralNames(spec.names);
    if (sk_GENERAL_NAME_num(names.get()) == 0) return true;
    // RFC 5280 §4.2.1.6: critical when the subject is empty.
    const int is_critical = spec.organization.empty() ? 1 : 0;
    return X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), is_critical,
                             X509V3_ADD_DEFAULT) == 1;
  }
};

StatusOr<Certificate> SelfSign(const PrivateKey& key, const IssueSpec& spec) {
  return Issuing::Build(nullptr, key, key.public_key(), spec);
}

StatusOr<Certificate> Issue(const Certificate& issuer, const PrivateKey& issuer_key,
                            const PublicKey& subject, const IssueSpec& spec) {
  return Issuing::Build(&issuer, issuer_key, subject, spec);
}

StatusOr<std::string> MakeCsr(const PrivateKey& key, const std::string& uri) {
  const X509ReqPtr request(X509_REQ_new());
  const GeneralNamesPtr names = ToGeneralNames({.uris = {uri}, .dns = {}, .ips = {}});
  X509_EXTENSION* extension = X509V3_EXT_i2d(NID_subject_alt_name, 1, names.get());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(extensions, extension);
  const bool is_built = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) &&
                        X509_REQ_set_pubkey(request.get(), key.native()) &&
                        X509_REQ_add_extensions(request.get(), extensions) &&
                        X509_REQ_sign(request.get(), key.native(), DigestFor(key)) > 0;
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  if (!is_built) return OpenSslError("making a certificate request");
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return TakeText(bio);
}

StatusOr<PublicKey> ReadCsr(std::string_view pem) {
  if (pem.size() > kCsrBytesMax)
    return absl::InvalidArgumentError("certificate request: over 64 KiB");
  const BioPtr bio = ReadBio(pem);
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) return OpenSslError("certificate request is not valid PEM");
  EvpKeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (key == nullptr) return OpenSslError("certificate request has no usable key");
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    return OpenSslError("certificate request is not signed by its own key");
  }
  PublicKey result(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free));
  if (!result.is_strong()) {
    return absl::InvalidArgumentError(fmt::format(
        "certificate request has a weak key ({}): use ECDSA P-256 or RSA 2048 and above",
        result.Describe()));
  }
  return result;
}

}  // namespace meltemi::identity
