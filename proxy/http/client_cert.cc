// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/client_cert.h"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace meltemi::proxy {
namespace {

constexpr std::string_view kName = "x-forwarded-client-cert";

// Values that hold a delimiter are quoted, a quote inside escaped.
void AppendValue(std::string_view value, bool is_always_quoted, fmt::memory_buffer& to) {
  const bool is_quoted = is_always_quoted || value.find_first_of(",;=\"") != std::string_view::npos;
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

// Keys in Envoy's order: By, Hash, Subject, URI, DNS.
void BuildElement(const HttpOptions& options, const DownstreamFacts& downstream,
                  fmt::memory_buffer& to) {
  if (!downstream.local_uri_san.empty()) {
    AppendKey("By", to);
    AppendValue(downstream.local_uri_san, false, to);
  }
  const std::string& der = downstream.peer_certificate_der;
  if (!der.empty()) {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const uint8_t*>(der.data()), der.size(), digest);
    AppendKey("Hash", to);
    for (const uint8_t byte : digest) fmt::format_to(std::back_inserter(to), "{:02x}", byte);
  }
  if (options.cert_has_subject) {
    AppendKey("Subject", to);
    AppendValue(downstream.peer_subject, true, to);
  }
  if (options.cert_has_uri) {
    AppendKey("URI", to);
    AppendValue(downstream.peer_uri_san, false, to);
  }
  if (options.cert_has_dns && !downstream.peer_dns_san.empty()) {
    AppendKey("DNS", to);
    AppendValue(downstream.peer_dns_san, false, to);
  }
}

}  // namespace

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
  fmt::memory_buffer element;
  BuildElement(options, downstream, element);
  const std::string_view before =
      mode == Mode::kAppendForward ? headers.Joined(kName) : std::string_view();
  if (!before.empty()) {
    fmt::memory_buffer both;
    fmt::format_to(std::back_inserter(both), "{},{}", before,
                   std::string_view(element.data(), element.size()));
    headers.Set(http::HeaderId::kXForwardedClientCert, {both.data(), both.size()});
  } else {
    headers.Set(http::HeaderId::kXForwardedClientCert, {element.data(), element.size()});
  }
}

}  // namespace meltemi::proxy
