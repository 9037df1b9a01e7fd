// SPDX-License-Identifier: Apache-2.0
#include "lib/identity/certificate.h"

#include <ctime>

#include <arpa/inet.h>
#include <openssl/pem.h>

#include "absl/strings/ascii.h"

#include "lib/identity/openssl.h"

namespace meltemi::identity {
namespace {

constexpr size_t kPemBytesMax = 1024 * 1024;
constexpr size_t kChainMax = 256;  // a root bundle may be long; a chain never is

WallTime ToWall(const ASN1_TIME* time) {
  std::tm tm{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &tm) != 1) return WallTime{};
  return std::chrono::system_clock::from_time_t(timegm(&tm));
}

std::string IpText(const ASN1_OCTET_STRING* ip) {
  char text[INET6_ADDRSTRLEN] = "";
  const int length = ASN1_STRING_length(ip);
  if (length != 4 && length != 16) return {};
  inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof text);
  return text;
}

std::string Text(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

}  // namespace

StatusOr<Certificate> Certificate::Parse(std::string_view pem) {
  MELTEMI_ASSIGN_OR_RETURN(auto all, ParseAll(pem));
  return std::move(all.front());
}

StatusOr<std::vector<Certificate>> Certificate::ParseAll(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return absl::InvalidArgumentError("certificates: over 1 MiB");
  const BioPtr bio = ReadBio(pem);
  std::vector<Certificate> all;
  while (X509* x509 = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    all.push_back(Certificate(std::shared_ptr<x509_st>(x509, X509_free)));
    if (all.size() > kChainMax) {
      return absl::InvalidArgumentError("more than 256 certificates in one text");
    }
  }
  // The end of the text shows as "no start line"; anything else is a damaged block.
  const unsigned long end = ERR_peek_last_error();
  if (all.empty() || ERR_GET_REASON(end) != PEM_R_NO_START_LINE) {
    return OpenSslError("not a valid PEM certificate");
  }
  ERR_clear_error();
  return all;
}

std::string Certificate::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509_.get());
  return TakeText(bio);
}

std::string ToPem(const std::vector<Certificate>& chain) {
  std::string text;
  for (const Certificate& certificate : chain) text += certificate.ToPem();
  return text;
}

WallTime Certificate::not_before() const {
  return ToWall(X509_get0_notBefore(x509_.get()));
}

WallTime Certificate::not_after() const {
  return ToWall(X509_get0_notAfter(x509_.get()));
}

AltNames Certificate::alt_names() const {
  AltNames names;
  const GeneralNamesPtr all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(x509_.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; all != nullptr && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    if (name->type == GEN_URI) names.uris.push_back(Text(name->d.uniformResourceIdentifier));
    if (name->type == GEN_DNS) names.dns.push_back(Text(name->d.dNSName));
    if (name->type == GEN_IPADD) names.ips.push_back(IpText(name->d.iPAddress));
  }
  return names;
}

std::string Certificate::serial_number() const {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509_.get()), nullptr), BN_free);
  if (number == nullptr) return "";
  const std::unique_ptr<char, void (*)(char*)> text(BN_bn2hex(number.get()),
                                                    [](char* at) { OPENSSL_free(at); });
  return absl::AsciiStrToLower(text == nullptr ? "" : text.get());
}

std::string Certificate::subject() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(x509_.get()), 0, XN_FLAG_RFC2253);
  return TakeText(bio);
}

bool Certificate::is_ca() const {
  return X509_check_ca(x509_.get()) == 1;
}

PublicKey Certificate::public_key() const {
  return PublicKey(std::shared_ptr<evp_pkey_st>(X509_get_pubkey(x509_.get()), EVP_PKEY_free));
}

bool Certificate::IsIssuedBy(const Certificate& issuer) const {
  const bool is_named = X509_check_issued(issuer.native(), x509_.get()) == X509_V_OK;
  const bool is_signed = X509_verify(x509_.get(), X509_get0_pubkey(issuer.native())) == 1;
  ERR_clear_error();
  return is_named && is_signed;
}

bool Certificate::operator==(const Certificate& other) const {
  return X509_cmp(x509_.get(), other.x509_.get()) == 0;
}

}  // namespace meltemi::identity
