// SPDX-License-Identifier: Apache-2.0
// TLS that filter chains end.
#include <fmt/format.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/model/service.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/messages.h"

namespace meltemi::pilot {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::listener::v3::FilterChain;
using istio::networking::v1::ServerTLSSettings;

// Istio's for mutual TLS within the mesh; they concern TLS 1.2 only.
constexpr const char* kCipherSuites[] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",   "AES256-GCM-SHA384",           "AES128-GCM-SHA256"};

void SetContext(const tls::DownstreamTlsContext& context, FilterChain& chain) {
  chain.mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  Pack(context, *chain.mutable_transport_socket()->mutable_typed_config());
}

void AddAlpn(bool has_peer_exchange, tls::CommonTlsContext& common) {
  if (has_peer_exchange) common.add_alpn_protocols("istio-peer-exchange");
  common.add_alpn_protocols("h2");
  common.add_alpn_protocols("http/1.1");
}

void AddTrustDomains(const istio::mesh::v1alpha1::MeshConfig& mesh,
                     tls::CertificateValidationContext& to) {
  const auto add = [&](const std::string& domain) {
    to.add_match_subject_alt_names()->set_prefix(fmt::format("spiffe://{}/", domain));
  };
  add(mesh.trust_domain());
  for (const std::string& alias : mesh.trust_domain_aliases()) {
    if (alias != mesh.trust_domain()) add(alias);
  }
}

tls::TlsParameters::TlsProtocol Version(ServerTLSSettings::TLSProtocol version) {
  switch (version) {
    case ServerTLSSettings::TLSV1_0:
      return tls::TlsParameters::TLSv1_0;
    case ServerTLSSettings::TLSV1_1:
      return tls::TlsParameters::TLSv1_1;
    case ServerTLSSettings::TLSV1_2:
      return tls::TlsParameters::TLSv1_2;
    case ServerTLSSettings::TLSV1_3:
      return tls::TlsParameters::TLSv1_3;
    default:
      return tls::TlsParameters::TLS_AUTO;
  }
}

void SetParameters(const ServerTLSSettings& from, tls::CommonTlsContext& common) {
  const auto least = Version(from.min_protocol_version());
  const auto most = Version(from.max_protocol_version());
  const bool has_versions =
      least != tls::TlsParameters::TLS_AUTO || most != tls::TlsParameters::TLS_AUTO;
  if (!has_versions && from.cipher_suites().empty() && from.ecdh_curves().empty()) return;
  auto& to = *common.mutable_tls_params();
  to.set_tls_minimum_protocol_version(least);
  to.set_tls_maximum_protocol_version(most);
  for (const std::string& suite : from.cipher_suites()) to.add_cipher_suites(suite);
  for (const std::string& curve : from.ecdh_curves()) to.add_ecdh_curves(curve);
}

// Secrets by name are served over ADS; the kind of the name is a scheme, Kubernetes by default.
void SetNamedSecret(const std::string& name, std::string_view suffix,
                    tls::SdsSecretConfig& secret) {
  const bool has_scheme = name.find("://") != std::string::npos;
  secret.set_name(fmt::format("{}{}{}", has_scheme ? "" : "kubernetes://", name, suffix));
  secret.mutable_sds_config()->mutable_ads();
  secret.mutable_sds_config()->set_resource_api_version(envoy::config::core::v3::V3);
}

void AddFile(const std::string& certificate, const std::string& key,
             tls::CommonTlsContext& common) {
  SetAgentSecret(fmt::format("file-cert:{}~{}", certificate, key), false,
                 *common.add_tls_certificate_sds_secret_configs());
}

void SetCertificates(const ServerTLSSettings& from, tls::CommonTlsContext& common) {
  if (!from.credential_names().empty()) {
    for (const std::string& name : from.credential_names()) {
      SetNamedSecret(name, "", *common.add_tls_certificate_sds_secret_configs());
    }
  } else if (!from.credential_name().empty()) {
    SetNamedSecret(from.credential_name(), "", *common.add_tls_certificate_sds_secret_configs());
  } else if (!from.tls_certificates().empty()) {
    for (const auto& pair : from.tls_certificates()) {
      AddFile(pair.server_certificate(), pair.private_key(), common);
    }
  } else {
    AddFile(from.server_certificate(), from.private_key(), common);
  }
}

void SetClientTrust(const ServerTLSSettings& from, tls::CommonTlsContext& common) {
  auto& validation = *common.mutable_combined_validation_context();
  auto& matchers = *validation.mutable_default_validation_context();
  for (const std::string& name : from.subject_alt_names()) {
    matchers.add_match_subject_alt_names()->set_exact(name);
  }
  for (const std::string& hash : from.verify_certificate_spki()) {
    matchers.add_verify_certificate_spki(hash);
  }
  for (const std::string& hash : from.verify_certificate_hash()) {
    matchers.add_verify_certificate_hash(hash);
  }
  auto& secret = *validation.mutable_validation_context_sds_secret_config();
  if (!from.ca_cert_credential_name().empty()) {
    SetNamedSecret(from.ca_cert_credential_name(), "", secret);
  } else if (!from.credential_name().empty()) {
    SetNamedSecret(from.credential_name(), "-cacert", secret);
  } else if (!from.credential_names().empty()) {
    SetNamedSecret(from.credential_names(0), "-cacert", secret);
  } else {
    SetAgentSecret(fmt::format("file-root:{}", from.ca_certificates()), false, secret);
  }
}

void SetMeshTls(const ServerTLSSettings& from, tls::CommonTlsContext& common) {
  SetAgentSecret("default", true, *common.add_tls_certificate_sds_secret_configs());
  auto& validation = *common.mutable_combined_validation_context();
  auto& matchers = *validation.mutable_default_validation_context();
  for (const std::string& name : from.subject_alt_names()) {
    matchers.add_match_subject_alt_names()->set_exact(name);
  }
  SetAgentSecret("ROOTCA", true, *validation.mutable_validation_context_sds_secret_config());
}

}  // namespace

void SetWorkloadTls(Reader& reader, bool is_http, FilterChain& chain) {
  tls::DownstreamTlsContext context;
  context.mutable_require_client_certificate()->set_value(true);
  auto& common = *context.mutable_common_tls_context();
  AddAlpn(!is_http, common);
  SetMeshTls({}, common);
  AddTrustDomains(
      *reader.Mesh(),
      *common.mutable_combined_validation_context()->mutable_default_validation_context());
  auto& parameters = *common.mutable_tls_params();
  parameters.set_tls_minimum_protocol_version(tls::TlsParameters::TLSv1_2);
  parameters.set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
  for (const char* suite : kCipherSuites) parameters.add_cipher_suites(suite);
  SetContext(context, chain);
}

void SetServerTls(const ProxyFacts&, const istio::networking::v1::Server& server,
                  FilterChain& chain) {
  const ServerTLSSettings& settings = server.tls();
  tls::DownstreamTlsContext context;
  auto& common = *context.mutable_common_tls_context();
  const bool is_mesh = settings.mode() == ServerTLSSettings::ISTIO_MUTUAL;
  AddAlpn(is_mesh && IsTcp(ParseProtocol(server.port().protocol())) &&
              ParseProtocol(server.port().protocol()) != Protocol::kHttps,
          common);
  if (is_mesh) {
    SetMeshTls(settings, common);
  } else {
    SetCertificates(settings, common);
  }
  const bool is_mutual = settings.mode() == ServerTLSSettings::MUTUAL ||
                         settings.mode() == ServerTLSSettings::OPTIONAL_MUTUAL;
  if (is_mutual) SetClientTrust(settings, common);
  SetParameters(settings, common);
  context.mutable_require_client_certificate()->set_value(is_mesh || settings.mode() ==
                                                                         ServerTLSSettings::MUTUAL);
  SetContext(context, chain);
}

}  // namespace meltemi::pilot
