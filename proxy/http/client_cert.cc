// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/client_cert.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <vector>

namespace meltemi::proxy {
namespace {

constexpr std::string_view kName = "x-forwarded-client-cert";

// Values that hold a delimiter are quoted, a quote inside escaped.
void AppendValue(std::string_view value, fmt::memory_buffer& to) {
  const bool is_quoted = value.find_first_of(",;\"") != std::string_view::npos;
  if (is_quoted) to.push_back('"');
  for (const char c : value) {
    if (c == '"' || c == '\\') to.push_back('\\');
    to.push_back(c);
  }
  if (is_quoted) to.push_back('"');
}

void AppendKey(std::string_view key, fmt::memory_buffer& to) {
  if (to.size() > 0) to.push_back(';');
  fmt::format_to(std::back_inserter(to), "{}=", key);
}

struct SubjectNames {
  std::vector<std::string> uri, dns;
};

// All of them; the facts of the connection hold the first of each only.
SubjectNames NamesOf(std::string_view der) {
  SubjectNames names;
  const auto* bytes = reinterpret_cast<const uint8_t*>(der.data());
  X509* const certificate = d2i_X509(nullptr, &bytes, static_cast<long>(der.size()));
  if (certificate == nullptr) return names;
  auto* const list = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(list, i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    const ASN1_IA5STRING* const text = name->d.ia5;
    (name->type == GEN_URI ? names.uri : names.dns)
        .emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
  }
  GENERAL_NAMES_free(list);
  X509_free(certificate);
  return names;
}

// PEM with what a header or a delimiter could mistake escaped, as Envoy has it.
void AppendPem(std::string_view der, fmt::memory_buffer& to) {
  constexpr size_t kLineBytes = 48;  // 64 characters
  const auto append = [&](std::string_view text) {
    for (const char c : text) {
      if (c == '\n' || c == ' ' || c == '+' || c == '/' || c == '=') {
        fmt::format_to(std::back_inserter(to), "%{:02X}", static_cast<uint8_t>(c));
      } else {
        to.push_back(c);
      }
    }
  };
  append("-----BEGIN CERTIFICATE-----\n");
  for (size_t at = 0; at < der.size(); at += kLineBytes) {
    uint8_t line[kLineBytes / 3 * 4 + 1];
    const auto bytes = static_cast<int>(std::min(kLineBytes, der.size() - at));
    const int written =
        EVP_EncodeBlock(line, reinterpret_cast<const uint8_t*>(der.data()) + at, bytes);
    append({reinterpret_cast<const char*>(line), static_cast<size_t>(written)});
    append("\n");
  }
  append("-----END CERTIFICATE-----\n");
}

}  // namespace

// Keys in Envoy's order: By, Hash, Cert, Subject, URI, DNS. Subject and URI stand there empty too.
std::string ClientCertElement(const HttpOptions& options, const TlsFacts& tls) {
  using Mode = HttpOptions::ClientCert;
  if (options.client_cert != Mode::kAppendForward && options.client_cert != Mode::kSanitizeSet) {
    return {};
  }
  fmt::memory_buffer to;
  if (!tls.local_uri_san.empty()) {
    AppendKey("By", to);
    AppendValue(tls.local_uri_san, to);
  }
  const std::string_view der = tls.peer->certificate_der;
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(der.data()), der.size(), digest);
  AppendKey("Hash", to);
  for (const uint8_t byte : digest) fmt::format_to(std::back_inserter(to), "{:02x}", byte);
  if (options.cert_has_pem) {
    AppendKey("Cert", to);
    to.push_back('"');
    AppendPem(der, to);
    to.push_back('"');
  }
  if (options.cert_has_subject) {
    // RFC 4514's form has escaped what could end the quotation.
    AppendKey("Subject", to);
    fmt::format_to(std::back_inserter(to), "\"{}\"", tls.peer->subject);
  }
  // A certificate that nobody verified names nobody.
  const bool is_known = !tls.peer->uri_san.empty() || !tls.peer->dns_san.empty();
  const SubjectNames names = is_known ? NamesOf(der) : SubjectNames{};
  const auto append_all = [&](std::string_view key, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      AppendKey(key, to);
      AppendValue(value, to);
    }
  };
  if (options.cert_has_uri) {
    if (names.uri.empty()) AppendKey("URI", to);
    append_all("URI", names.uri);
  }
  if (options.cert_has_dns) append_all("DNS", names.dns);
  return {to.data(), to.size()};
}

void ForwardClientCert(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::HeaderMap& headers) {
  using Mode = HttpOptions::ClientCert;
  const Mode mode = options.client_cert;
  if (mode == Mode::kAlwaysForwardOnly) return;
  if (mode == Mode::kSanitize || !downstream.is_mutual_tls) {
    if (headers.Find(http::HeaderId::kXForwardedClientCert) != nullptr) {
      headers.Remove(http::HeaderId::kXForwardedClientCert);
    }
    return;
  }
  if (mode == Mode::kForwardOnly) return;
  const std::string_view element = downstream.tls->client_cert_element;
  const std::string_view before =
      mode == Mode::kAppendForward ? headers.Joined(kName) : std::string_view();
  if (!before.empty()) {
    fmt::memory_buffer both;
    fmt::format_to(std::back_inserter(both), "{},{}", before, element);
    headers.Set(http::HeaderId::kXForwardedClientCert, {both.data(), both.size()});
  } else {
    headers.Set(http::HeaderId::kXForwardedClientCert, element);
  }
}

}  // namespace meltemi::proxy
