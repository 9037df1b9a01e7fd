// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/secrets.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "lib/identity/certificate.h"

namespace meltemi::proxy {
namespace {

using Json = nlohmann::ordered_json;
using Secret = envoy::extensions::transport_sockets::tls::v3::Secret;

std::string Timestamp(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

Json AlternativeNames(const identity::AltNames& names) {
  Json list = Json::array();
  for (const std::string& uri : names.uris) list.push_back({{"uri", uri}});
  for (const std::string& dns : names.dns) list.push_back({{"dns", dns}});
  for (const std::string& ip : names.ips) list.push_back({{"ip_address", ip}});
  return list;
}

Json Details(const std::string& pem, WallTime now) {
  Json list = Json::array();
  const auto certificates = identity::Certificate::ParseAll(pem);
  if (!certificates.ok()) return list;
  for (const identity::Certificate& certificate : *certificates) {
    const auto days =
        std::chrono::duration_cast<std::chrono::hours>(certificate.not_after() - now).count() / 24;
    list.push_back({{"path", "<inline>"},
                    {"serial_number", certificate.serial_number()},
                    {"subject_alt_names", AlternativeNames(certificate.alt_names())},
                    {"days_until_expiration", fmt::to_string(std::max<int64_t>(0, days))},
                    {"valid_from", Timestamp(certificate.not_before())},
                    {"expiration_time", Timestamp(certificate.not_after())}});
  }
  return list;
}

}  // namespace

std::string CertificateSecret(const std::string& name, const IssuedCertificate& certificate) {
  Secret secret;
  secret.set_name(name);
  auto* tls = secret.mutable_tls_certificate();
  tls->mutable_certificate_chain()->set_inline_bytes(certificate.chain_pem);
  tls->mutable_private_key()->set_inline_bytes(certificate.key_pem);
  return secret.SerializeAsString();
}

std::string ValidationSecret(const std::string& name, const std::string& roots_pem) {
  Secret secret;
  secret.set_name(name);
  secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(roots_pem);
  return secret.SerializeAsString();
}

bool IsLocalSecret(std::string_view name) {
  return name == kWorkloadSecret || name == kRootSecret || name.starts_with("file-cert:") ||
         name.starts_with("file-root:");
}

std::string CertificatesJson(const IssuedCertificate& certificate, WallTime now) {
  return CertificatesJson({{certificate.root_pem, certificate.chain_pem}}, now);
}

std::string CertificatesJson(const std::vector<CertificateTexts>& texts, WallTime now) {
  Json certificates = Json::array();
  for (const CertificateTexts& text : texts) {
    certificates.push_back(
        {{"ca_cert", Details(text.roots_pem, now)}, {"cert_chain", Details(text.chain_pem, now)}});
  }
  return Json{{"certificates", std::move(certificates)}}.dump(1) + "\n";
}

}  // namespace meltemi::proxy
