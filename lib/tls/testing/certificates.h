// SPDX-License-Identifier: Apache-2.0
// Certificates made on the spot, for tests: a CA, and leaves it signs (P-256).
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "lib/base/check.h"
#include "lib/tls/context.h"

namespace meltemi::tls::testing {

struct LeafOptions {
  std::string san = "URI:spiffe://cluster.local/ns/default/sa/app";  // OpenSSL's notation
  std::string raw_dns = {};  // a DNS name byte for byte; in place of `san`
  std::string common_name = {};
  long starts_in_seconds = -60;
  long ends_in_seconds = 3600;
};

class CertificateAuthority final {
 public:
  explicit CertificateAuthority(const std::string& name = "test root")
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
    Fill(certificate_.get(), key_.get(), name, -60, 3600);
    X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
    Extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
    Extend(certificate_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    MELTEMI_CHECK(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
  }

  std::string pem() const { return Pem(certificate_.get()); }

  CertificateKey Issue(const LeafOptions& options = {}) const {
    const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Certificate leaf(X509_new(), X509_free);
    Fill(leaf.get(), key.get(), options.common_name, options.starts_in_seconds,
         options.ends_in_seconds);
    X509_set_issuer_name(leaf.get(), X509_get_subject_name(certificate_.get()));
    Extend(leaf.get(), NID_ext_key_usage, "serverAuth,clientAuth");
    if (!options.raw_dns.empty()) {
      AddRawName(leaf.get(), options.raw_dns);
    } else if (!options.san.empty()) {
      Extend(leaf.get(), NID_subject_alt_name, options.san);
    }
    MELTEMI_CHECK(X509_sign(leaf.get(), key_.get(), EVP_sha256()) > 0);
    return {.chain_pem = Pem(leaf.get()), .key_pem = Pem(key.get())};
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
  using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

  static void Fill(X509* certificate, EVP_PKEY* key, const std::string& name, long starts,
                   long ends) {
    static long serial = 1;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), starts);
    X509_gmtime_adj(X509_getm_notAfter(certificate), ends);
    X509_set_pubkey(certificate, key);
    if (name.empty()) return;
    X509_NAME* subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>("Meltemi, tests"), -1, -1, 0);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  static void Extend(X509* certificate, int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    MELTEMI_CHECK(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static void AddRawName(X509* certificate, const std::string& name) {
    GENERAL_NAMES* names = GENERAL_NAMES_new();
    GENERAL_NAME* added = GENERAL_NAME_new();
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME_set0_value(added, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, added);
    X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
    GENERAL_NAMES_free(names);
  }
  static std::string Text(const Memory& memory) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }
  static std::string Pem(X509* certificate) {
    const Memory memory(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(memory.get(), certificate);
    return Text(memory);
  }
  static std::string Pem(EVP_PKEY* key) {
    const Memory memory(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return Text(memory);
  }

  const Key key_;
  const Certificate certificate_;
};

}  // namespace meltemi::tls::testing
