// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/client_cert.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>

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
  AppendKey("Hash", to);
  for (const char byte : tls.peer->certificate_hash) {
    fmt::format_to(std::back_inserter(to), "{:02x}", static_cast<uint8_t>(byte));
  }
  if (options.cert_has_pem) {
    AppendKey("Cert", to);
    to.push_back('"');
    AppendPem(tls.peer->certificate_der, to);
    to.push_back('"');
  }
  if (options.cert_has_subject) {
    // RFC 4514's form has escaped what could end the quotation.
    AppendKey("Subject", to);
    fmt::format_to(std::back_inserter(to), "\"{}\"", tls.peer->subject);
  }
  const auto append_all = [&](std::string_view key, const net::NameList& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      AppendKey(key, to);
      AppendValue(values[i], to);
    }
  };
  if (options.cert_has_uri) {
    if (tls.peer->uri_sans.size() == 0) AppendKey("URI", to);
    append_all("URI", tls.peer->uri_sans);
  }
  if (options.cert_has_dns) append_all("DNS", tls.peer->dns_sans);
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
