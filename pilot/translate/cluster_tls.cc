// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/cluster_tls.h"

#include <fmt/format.h>

#include <set>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/translate/messages.h"

#include <google/protobuf/unknown_field_set.h>

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using istio::networking::v1::ClientTLSSettings;
using istio::networking::v1::TrafficPolicy;

constexpr std::string_view kRawName = "envoy.transport_sockets.raw_buffer";
constexpr std::string_view kTlsName = "envoy.transport_sockets.tls";

void SetRaw(core::TransportSocket& socket) {
  socket.set_name(std::string(kRawName));
  Pack(envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer(),
       *socket.mutable_typed_config());
}

void SetVersions(tls::CommonTlsContext& common) {
  common.mutable_tls_params()->set_tls_minimum_protocol_version(tls::TlsParameters::TLSv1_2);
  common.mutable_tls_params()->set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
}

// The SPIFFE ids one identity is known by: that of each trust domain the mesh takes for its own.
void AddAliases(const std::string& identity, const istio::mesh::v1alpha1::MeshConfig& mesh,
                std::set<std::string>& to) {
  to.insert(identity);
  constexpr std::string_view kScheme = "spiffe://";
  if (!identity.starts_with(kScheme)) return;
  const size_t end = identity.find('/', kScheme.size());
  if (end == std::string::npos) return;
  if (identity.substr(kScheme.size(), end - kScheme.size()) != mesh.trust_domain()) return;
  for (const std::string& alias : mesh.trust_domain_aliases()) {
    to.insert(fmt::format("{}{}{}", kScheme, alias, identity.substr(end)));
  }
}

// Who may answer for the service.
std::set<std::string> IdentitiesOf(Reader& reader, const OutboundTarget& target) {
  std::set<std::string> identities;
  const auto mesh = reader.Mesh();
  const auto of_endpoints = reader.Identities(target.service->key(), target.port.number);
  for (const std::string& identity : *of_endpoints) AddAliases(identity, *mesh, identities);
  for (const std::string& name : target.service->subject_alt_names) {
    AddAliases(name, *mesh, identities);
  }
  return identities;
}

template <typename Names>
void AddSans(const Names& names, tls::CertificateValidationContext& to) {
  for (const std::string& name : names) to.add_match_subject_alt_names()->set_exact(name);
}

// Mutual TLS with the workload's own certificate.
tls::UpstreamTlsContext WorkloadContext(Reader& reader, const OutboundTarget& target,
                                        const ClusterName& name, bool is_http2) {
  const ClientTLSSettings& settings = target.policy.tls();
  tls::UpstreamTlsContext context;
  context.set_sni(settings.sni().empty() ? SniOf(name) : settings.sni());
  auto& common = *context.mutable_common_tls_context();
  SetVersions(common);
  SetAgentSecret("default", true, *common.add_tls_certificate_sds_secret_configs());
  auto& validation = *common.mutable_combined_validation_context();
  SetAgentSecret("ROOTCA", true, *validation.mutable_validation_context_sds_secret_config());
  auto& matchers = *validation.mutable_default_validation_context();
  if (settings.subject_alt_names_size() > 0) {
    AddSans(settings.subject_alt_names(), matchers);
  } else {
    AddSans(IdentitiesOf(reader, target), matchers);
  }
  common.add_alpn_protocols("istio-peer-exchange");
  common.add_alpn_protocols("istio");
  if (is_http2) common.add_alpn_protocols("h2");
  return context;
}

// Secrets the control plane serves, by the name of a Secret.
void SetCredential(std::string_view name, std::string_view suffix, tls::SdsSecretConfig& secret) {
  const bool has_scheme = name.find("://") != std::string_view::npos;
  secret.set_name(fmt::format("{}{}{}", has_scheme ? "" : "kubernetes://", name, suffix));
  secret.mutable_sds_config()->mutable_ads();
  secret.mutable_sds_config()->set_resource_api_version(core::V3);
}

void SetOwnCertificate(const ClientTLSSettings& settings, bool uses_credential,
                       tls::CommonTlsContext& common) {
  if (settings.mode() != ClientTLSSettings::MUTUAL) return;
  auto& secret = *common.add_tls_certificate_sds_secret_configs();
  if (uses_credential) {
    SetCredential(settings.credential_name(), "", secret);
  } else {
    SetAgentSecret(
        fmt::format("file-cert:{}~{}", settings.client_certificate(), settings.private_key()),
        false, secret);
  }
}

// SIMPLE and MUTUAL: certificates of the user's.
tls::UpstreamTlsContext UserContext(const ClientTLSSettings& settings, bool uses_credential,
                                    bool is_http2) {
  tls::UpstreamTlsContext context;
  context.set_sni(settings.sni());
  auto& common = *context.mutable_common_tls_context();
  SetVersions(common);
  SetOwnCertificate(settings, uses_credential, common);
  if (!settings.insecure_skip_verify().value()) {
    auto& validation = *common.mutable_combined_validation_context();
    AddSans(settings.subject_alt_names(), *validation.mutable_default_validation_context());
    auto& secret = *validation.mutable_validation_context_sds_secret_config();
    if (uses_credential) {
      SetCredential(settings.credential_name(), "-cacert", secret);
    } else {
      const std::string& file = settings.ca_certificates();
      SetAgentSecret(fmt::format("file-root:{}", file.empty() ? "system" : file), false, secret);
    }
  }
  if (is_http2) common.add_alpn_protocols("h2");
  return context;
}

void SetTls(const tls::UpstreamTlsContext& context, core::TransportSocket& socket) {
  socket.set_name(std::string(kTlsName));
  Pack(context, *socket.mutable_typed_config());
}

// envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, of which no
// code is generated: config = 1, transport_socket = 2.
void WrapInProxyProtocol(const TrafficPolicy::ProxyProtocol& settings,
                         core::TransportSocket& socket) {
  core::ProxyProtocolConfig config;
  if (settings.version() == TrafficPolicy::ProxyProtocol::V2) {
    config.set_version(core::ProxyProtocolConfig::V2);
  }
  google::protobuf::UnknownFieldSet message;
  message.AddLengthDelimited(1, config.SerializeAsString());
  message.AddLengthDelimited(2, socket.SerializeAsString());
  auto& any = *socket.mutable_typed_config();
  any.set_type_url(
      "type.googleapis.com/"
      "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport");
  any.clear_value();
  message.SerializeToString(any.mutable_value());
  socket.set_name("envoy.transport_sockets.upstream_proxy_protocol");
}

void WrapAll(const TrafficPolicy& policy, v3::Cluster& cluster) {
  if (!policy.has_proxy_protocol()) return;
  if (cluster.transport_socket_matches_size() == 0) {
    auto& socket = *cluster.mutable_transport_socket();
    if (socket.name().empty()) {
      SetRaw(socket);
      socket.set_name("raw_buffer");  // as Istio names this one
    }
    WrapInProxyProtocol(policy.proxy_protocol(), socket);
    return;
  }
  for (auto& match : *cluster.mutable_transport_socket_matches()) {
    WrapInProxyProtocol(policy.proxy_protocol(), *match.mutable_transport_socket());
  }
}

// Whether endpoints may be asked for mutual TLS without a rule saying so: the service is the
// mesh's and its namespace does not switch it off.
bool IsAutomatic(Reader& reader, const OutboundTarget& target) {
  const auto mesh = reader.Mesh();
  if (mesh->has_enable_auto_mtls() && !mesh->enable_auto_mtls().value()) return false;
  const Service& service = *target.service;
  if (service.is_external) return false;
  if (service.resolution == Resolution::kPassthrough) {
    // The connection goes wherever the client wanted: only when every endpoint has a proxy can one
    // setting serve them all.
    const EndpointsPtr endpoints = reader.Endpoints(service.key(), target.port.number);
    if (endpoints->empty()) return false;
    for (const Endpoint& endpoint : *endpoints) {
      if (!endpoint.has_mutual_tls) return false;
    }
  }
  return reader.TlsOf(service.ns, {})->mode != MutualTls::kDisable;
}

void SetAutomatic(const tls::UpstreamTlsContext& context, v3::Cluster& cluster) {
  if (cluster.type() == v3::Cluster::ORIGINAL_DST) {
    SetTls(context, *cluster.mutable_transport_socket());
    return;
  }
  auto& with = *cluster.add_transport_socket_matches();
  with.set_name("tlsMode-istio");
  SetText("tlsMode", "istio", *with.mutable_match());
  SetTls(context, *with.mutable_transport_socket());
  auto& without = *cluster.add_transport_socket_matches();
  without.set_name("tlsMode-disabled");
  without.mutable_match();
  SetRaw(*without.mutable_transport_socket());
}

void SetUserTls(const ProxyFacts& proxy, const OutboundTarget& target, HttpSettings& http,
                v3::Cluster& cluster) {
  const ClientTLSSettings& settings = target.policy.tls();
  // Sidecars must not read Secrets by a rule any namespace may write.
  const bool uses_credential = !settings.credential_name().empty() && proxy.role == Role::kRouter;
  SetTls(UserContext(settings, uses_credential, http.protocol == UpstreamHttp::kHttp2),
         *cluster.mutable_transport_socket());
  const bool verifies = !settings.insecure_skip_verify().value();
  if (settings.sni().empty()) http.has_automatic_sni = true;
  if (settings.sni().empty() && settings.subject_alt_names_size() == 0 && verifies) {
    http.has_automatic_san_validation = true;
  }
  // Istio's own ALPN words mean nothing to a server that is no sidecar.
  SetText("alpn_override", "false",
          (*cluster.mutable_metadata()->mutable_filter_metadata())["istio"]);
}

}  // namespace

void SetClientTls(Reader& reader, const ProxyFacts& proxy, const OutboundTarget& target,
                  const ClusterName& name, HttpSettings& http, v3::Cluster& cluster) {
  const bool is_http2 = http.protocol == UpstreamHttp::kHttp2;
  if (!target.policy.has_tls()) {
    if (IsAutomatic(reader, target)) {
      SetAutomatic(WorkloadContext(reader, target, name, is_http2), cluster);
    }
  } else {
    switch (target.policy.tls().mode()) {
      case ClientTLSSettings::ISTIO_MUTUAL:
        SetTls(WorkloadContext(reader, target, name, is_http2),
               *cluster.mutable_transport_socket());
        break;
      case ClientTLSSettings::SIMPLE:
      case ClientTLSSettings::MUTUAL:
        SetUserTls(proxy, target, http, cluster);
        break;
      default:
        break;  // DISABLE
    }
  }
  WrapAll(target.policy, cluster);
}

}  // namespace meltemi::pilot
