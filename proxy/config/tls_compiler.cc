// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/tls_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "lib/identity/key.h"
#include "lib/tls/names.h"
#include "proxy/config/tls_validation.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::extensions::transport_sockets::tls::v3;

constexpr std::string_view kCommon = "common_tls_context";
constexpr int kCertificatesMax = 64;  // of one context
constexpr uint32_t kSessionsMax = 1024;
constexpr int64_t kTicketSecondsMax = 7 * 24 * 3600;  // RFC 8446 §4.6.1

// -- certificates

StatusOr<tls::CertificateKey> CompileCertificate(const v3::TlsCertificate& from) {
  if (from.has_private_key_provider()) return Unsupported("private_key_provider");
  if (from.has_pkcs12()) return Unsupported("pkcs12");
  if (from.has_watched_directory()) return Unsupported("watched_directory");
  if (from.has_ocsp_staple()) return Unsupported("ocsp_staple");
  if (from.signed_certificate_timestamp_size() > 0) {
    return Unsupported("signed_certificate_timestamp");
  }
  for (const auto* source : {&from.certificate_chain(), &from.private_key()}) {
    if (source->has_watched_directory()) {
      return Unsupported("certificate_chain.watched_directory, private_key.watched_directory");
    }
  }
  tls::CertificateKey pair;
  MELTEMI_ASSIGN_OR_RETURN(pair.chain_pem,
                           ReadSource(from.certificate_chain(), "certificate_chain"));
  MELTEMI_ASSIGN_OR_RETURN(pair.key_pem, ReadSource(from.private_key(), "private_key"));
  if (!from.has_password()) return pair;
  MELTEMI_ASSIGN_OR_RETURN(const std::string password, ReadSource(from.password(), "password"));
  auto key = identity::PrivateKey::FromPem(pair.key_pem, password);
  if (!key.ok()) return WithContext(key.status(), "private_key");
  pair.key_pem = key->ToPem();
  return pair;
}

// -- versions, ciphers, groups

// Envoy's TLS_AUTO is 1.2 as least and, for a server, 1.3 as most; its client default of 1.2 is a
// trap we do not copy: both ends offer 1.3 unless told otherwise.
StatusOr<int> Version(v3::TlsParameters::TlsProtocol protocol, int automatic) {
  switch (protocol) {
    case v3::TlsParameters::TLSv1_2:
      return 12;
    case v3::TlsParameters::TLSv1_3:
      return 13;
    case v3::TlsParameters::TLS_AUTO:
      return automatic;
    default:
      return absl::InvalidArgumentError("TLS before 1.2 is not supported");
  }
}

StatusOr<tls::Algorithms> CompileAlgorithms(const v3::TlsParameters& from) {
  tls::Algorithms to;
  if (from.signature_algorithms_size() > 0) return Unsupported("signature_algorithms");
  for (const int policy : from.compliance_policies()) {
    if (policy != v3::TlsParameters::FIPS_202205) {
      return Unsupported(fmt::format("compliance_policies: {}", policy));
    }
    to = {.ciphers = tls::FipsCiphers(), .groups = tls::FipsGroups()};
  }
  if (from.compliance_policies_size() > 0) return to;
  for (int i = 0; i < from.cipher_suites_size(); ++i) {
    auto ciphers = tls::CiphersOf(from.cipher_suites(i));
    if (!ciphers.ok()) return WithContext(ciphers.status(), fmt::format("cipher_suites[{}]", i));
    to.ciphers.insert(to.ciphers.end(), ciphers->begin(), ciphers->end());
  }
  if (from.cipher_suites_size() > 0 && to.ciphers.empty()) {
    return absl::InvalidArgumentError("cipher_suites: none of them is offered here");
  }
  for (int i = 0; i < from.ecdh_curves_size(); ++i) {
    auto group = tls::GroupOf(from.ecdh_curves(i));
    if (!group.ok()) return WithContext(group.status(), fmt::format("ecdh_curves[{}]", i));
    to.groups.push_back(*group);
  }
  return to;
}

// -- what both sides have

struct Common {
  std::vector<tls::CertificateKey> certificates;
  tls::PeerVerification verification;
  bool judges_peers = false;  // there is something to judge them by, now or in a secret
  int version_min = 12, version_max = 13;
  tls::Algorithms algorithms;
  std::vector<std::string> alpn;
};

Status NoteSource(const v3::SdsSecretConfig& from, TlsPlan& plan) {
  if (from.name().empty()) return absl::InvalidArgumentError("the secret's name is empty");
  if (!from.has_sds_config()) return absl::OkStatus();
  auto source = CompileConfigSource(from.sds_config());
  if (!source.ok()) return WithContext(source.status(), "sds_config");
  plan.secret_sources.emplace(from.name(), *std::move(source));
  if (!from.sds_config().has_initial_fetch_timeout()) return absl::OkStatus();
  const auto& timeout = from.sds_config().initial_fetch_timeout();
  plan.fetch_timeout =
      std::chrono::seconds(timeout.seconds()) + std::chrono::nanoseconds(timeout.nanos());
  return absl::OkStatus();
}

Status RefuseUnsupported(const v3::CommonTlsContext& from) {
  const auto& combined = from.combined_validation_context();
  if (from.has_custom_handshaker()) return Unsupported("custom_handshaker");
  if (from.has_custom_tls_certificate_selector()) {
    return Unsupported("custom_tls_certificate_selector");
  }
  if (from.has_tls_certificate_provider_instance() ||
      from.has_tls_certificate_certificate_provider() ||
      from.has_tls_certificate_certificate_provider_instance()) {
    return Unsupported("tls_certificate_provider_instance");
  }
  if (from.has_validation_context_certificate_provider() ||
      from.has_validation_context_certificate_provider_instance() ||
      combined.has_validation_context_certificate_provider() ||
      combined.has_validation_context_certificate_provider_instance()) {
    return Unsupported("validation_context_certificate_provider");
  }
  if (from.has_key_log()) return Unsupported("key_log");
  return absl::OkStatus();
}

Status CheckVerification(const tls::PeerVerification& verification, bool has_trust) {
  if (has_trust) return absl::OkStatus();
  if (!verification.subject_alt_names.empty()) {
    return absl::InvalidArgumentError("subject alt names are matched but no trusted_ca is given");
  }
  if (!verification.crl_pem.empty()) {
    return absl::InvalidArgumentError("crl is given but no trusted_ca");
  }
  return absl::OkStatus();
}

Status CompileValidation(const v3::CommonTlsContext& from, Common& to, TlsPlan& plan) {
  std::string_view where = "validation_context";
  const v3::CertificateValidationContext* context = nullptr;
  if (from.has_validation_context()) context = &from.validation_context();
  const v3::SdsSecretConfig* secret = nullptr;
  if (from.has_validation_context_sds_secret_config()) {
    secret = &from.validation_context_sds_secret_config();
  }
  if (from.has_combined_validation_context()) {
    where = "combined_validation_context";
    const auto& combined = from.combined_validation_context();
    context = &combined.default_validation_context();
    if (combined.has_validation_context_sds_secret_config()) {
      secret = &combined.validation_context_sds_secret_config();
    }
  }
  if (secret != nullptr) {
    plan.validation_secret = secret->name();
    MELTEMI_RETURN_IF_ERROR(WithContext(NoteSource(*secret, plan), "validation_context secret"));
  }
  if (context != nullptr) {
    MELTEMI_RETURN_IF_ERROR(WithContext(AddValidation(*context, to.verification), where));
  }
  const bool has_trust = secret != nullptr || HasTrust(to.verification);
  MELTEMI_RETURN_IF_ERROR(WithContext(CheckVerification(to.verification, has_trust), where));
  to.verification.is_disabled = !has_trust;
  to.judges_peers = has_trust || HasPins(to.verification);
  return absl::OkStatus();
}

Status CompileCertificates(const v3::CommonTlsContext& from, Common& to, TlsPlan& plan) {
  if (from.tls_certificates_size() + from.tls_certificate_sds_secret_configs_size() >
      kCertificatesMax) {
    return absl::InvalidArgumentError(
        fmt::format("tls_certificates: more than {}", kCertificatesMax));
  }
  for (int i = 0; i < from.tls_certificates_size(); ++i) {
    auto pair = CompileCertificate(from.tls_certificates(i));
    if (!pair.ok()) return WithContext(pair.status(), fmt::format("tls_certificates[{}]", i));
    to.certificates.push_back(*std::move(pair));
  }
  for (const auto& secret : from.tls_certificate_sds_secret_configs()) {
    plan.certificate_secrets.push_back(secret.name());
    MELTEMI_RETURN_IF_ERROR(
        WithContext(NoteSource(secret, plan), "tls_certificate_sds_secret_configs"));
  }
  return absl::OkStatus();
}

Status CompileParameters(const v3::TlsParameters& from, Common& to) {
  auto least = Version(from.tls_minimum_protocol_version(), 12);
  if (!least.ok()) return WithContext(least.status(), "tls_minimum_protocol_version");
  auto greatest = Version(from.tls_maximum_protocol_version(), 13);
  if (!greatest.ok()) return WithContext(greatest.status(), "tls_maximum_protocol_version");
  if (*least > *greatest) {
    return absl::InvalidArgumentError("tls_minimum_protocol_version is above the maximum");
  }
  to.version_min = *least;
  to.version_max = *greatest;
  MELTEMI_ASSIGN_OR_RETURN(to.algorithms, CompileAlgorithms(from));
  return absl::OkStatus();
}

StatusOr<Common> CompileCommon(const v3::CommonTlsContext& from, TlsPlan& plan) {
  Common to;
  MELTEMI_RETURN_IF_ERROR(RefuseUnsupported(from));
  MELTEMI_RETURN_IF_ERROR(CompileCertificates(from, to, plan));
  MELTEMI_RETURN_IF_ERROR(CompileValidation(from, to, plan));
  MELTEMI_RETURN_IF_ERROR(WithContext(CompileParameters(from.tls_params(), to), "tls_params"));
  for (int i = 0; i < from.alpn_protocols_size(); ++i) {
    const std::string& protocol = from.alpn_protocols(i);
    if (protocol.empty() || protocol.size() > 255) {  // RFC 7301 §3.1
      return absl::InvalidArgumentError(
          fmt::format("alpn_protocols[{}]: must have 1 to 255 bytes", i));
    }
    to.alpn.push_back(protocol);
  }
  return to;
}

// -- secrets meet plans

StatusOr<tls::PeerVerification> Join(tls::PeerVerification verification, const TlsPlan& plan,
                                     const Secrets& secrets) {
  if (plan.validation_secret.empty()) return verification;
  const auto& secret = secrets.find(plan.validation_secret)->second;
  if (!secret.validation) {
    return absl::InvalidArgumentError(
        fmt::format("secret {} is not a validation context", plan.validation_secret));
  }
  Merge(*secret.validation, verification);
  const bool has_trust = HasTrust(verification);
  MELTEMI_RETURN_IF_ERROR(
      WithContext(CheckVerification(verification, has_trust), plan.validation_secret));
  verification.is_disabled = !has_trust && HasPins(verification);
  return verification;
}

StatusOr<std::vector<tls::CertificateKey>> FindCertificates(const TlsPlan& plan,
                                                            const Secrets& secrets) {
  std::vector<tls::CertificateKey> found;
  for (const std::string& name : plan.certificate_secrets) {
    const auto& secret = secrets.find(name)->second;
    if (!secret.certificate) {
      return absl::InvalidArgumentError(
          fmt::format("secret {} is not a certificate with its key", name));
    }
    found.push_back(*secret.certificate);
  }
  return found;
}

StatusOr<std::vector<std::string>> CompileTicketKeys(const v3::TlsSessionTicketKeys& from) {
  constexpr size_t kKeyBytes = 80;
  std::vector<std::string> keys;
  for (int i = 0; i < from.keys_size(); ++i) {
    MELTEMI_ASSIGN_OR_RETURN(std::string key, ReadSource(from.keys(i), fmt::format("keys[{}]", i)));
    if (key.size() != kKeyBytes) {
      return absl::InvalidArgumentError(
          fmt::format("keys[{}]: {} bytes, must be {}", i, key.size(), kKeyBytes));
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) return absl::InvalidArgumentError("keys: at least one is required");
  return keys;
}

Status CompileResumption(const v3::DownstreamTlsContext& from, TlsPlan& plan) {
  if (from.has_session_ticket_keys()) {
    auto keys = CompileTicketKeys(from.session_ticket_keys());
    if (!keys.ok()) return WithContext(keys.status(), "session_ticket_keys");
    plan.server.ticket_keys = *std::move(keys);
  }
  if (from.has_session_ticket_keys_sds_secret_config()) {
    const auto& secret = from.session_ticket_keys_sds_secret_config();
    plan.ticket_secret = secret.name();
    MELTEMI_RETURN_IF_ERROR(
        WithContext(NoteSource(secret, plan), "session_ticket_keys_sds_secret_config"));
  }
  // As in Envoy, TLS 1.3 sessions are resumed by tickets only, and those of TLS 1.2 are kept here
  // where tickets are off.
  if (from.disable_stateless_session_resumption()) {
    plan.server.tickets = 0;
    if (!from.disable_stateful_session_resumption()) plan.server.sessions_max = kSessionsMax;
  }
  if (from.has_session_timeout()) {
    const int64_t seconds = from.session_timeout().seconds();
    if (seconds < 0) return absl::InvalidArgumentError("session_timeout: must not be negative");
    plan.server.ticket_seconds = static_cast<uint32_t>(std::min(seconds, kTicketSecondsMax));
    if (seconds == 0) plan.server.tickets = plan.server.sessions_max = 0;
  }
  return absl::OkStatus();
}

Status TryServer(const TlsPlan& plan) {
  if (!plan.secrets().empty()) return absl::OkStatus();
  return BuildServer(plan, {}).status();
}

Status TryClient(const TlsPlan& plan) {
  if (!plan.secrets().empty()) return absl::OkStatus();
  return BuildClient(plan, {}).status();
}

// A certificate that does not fit its key, or a CA bundle that is none, is refused as it comes.
Status TrySecret(const SecretValue& value) {
  if (value.certificate) {
    MELTEMI_RETURN_IF_ERROR(
        tls::ServerContext::Build({.certificates = {*value.certificate}}).status());
  }
  if (value.validation && HasTrust(*value.validation)) {
    return tls::ClientContext::Build({.verification = *value.validation}).status();
  }
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> TlsPlan::secrets() const {
  std::set<std::string> names(certificate_secrets.begin(), certificate_secrets.end());
  if (!validation_secret.empty()) names.insert(validation_secret);
  if (!ticket_secret.empty()) names.insert(ticket_secret);
  return names;
}

bool TlsPlan::has_secrets(const Secrets& known) const {
  const std::set<std::string> names = secrets();
  return std::all_of(names.begin(), names.end(),
                     [&](const std::string& name) { return known.contains(name); });
}

StatusOr<TlsPlan> CompileUpstreamTls(std::string_view serialized) {
  v3::UpstreamTlsContext from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("UpstreamTlsContext cannot be decoded");
  }
  if (from.allow_renegotiation()) return Unsupported("allow_renegotiation");
  TlsPlan plan;
  auto common = CompileCommon(from.common_tls_context(), plan);
  if (!common.ok()) return WithContext(common.status(), kCommon);
  if (common->certificates.size() + plan.certificate_secrets.size() > 1) {
    return absl::InvalidArgumentError(
        "common_tls_context.tls_certificates: a client shows only one certificate");
  }
  if (!common->certificates.empty()) plan.client.certificate = std::move(common->certificates[0]);
  plan.client.verification = std::move(common->verification);
  plan.client.alpn = std::move(common->alpn);
  plan.client.server_name = from.sni();
  plan.client.version_min = common->version_min;
  plan.client.version_max = common->version_max;
  plan.client.algorithms = std::move(common->algorithms);
  if (from.has_max_session_keys()) {
    plan.client.sessions_max = std::min(from.max_session_keys().value(), kSessionsMax);
  }
  plan.is_server_name_automatic = from.auto_host_sni();
  if (from.auto_sni_san_validation()) {
    if (plan.client.verification.is_disabled) {
      return absl::InvalidArgumentError("auto_sni_san_validation: no trusted_ca is given");
    }
    plan.client.verification.matches_server_name = true;
  }
  MELTEMI_RETURN_IF_ERROR(WithContext(TryClient(plan), kCommon));
  return plan;
}

StatusOr<TlsPlan> CompileDownstreamTls(std::string_view serialized) {
  v3::DownstreamTlsContext from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("DownstreamTlsContext cannot be decoded");
  }
  if (from.ocsp_staple_policy() != v3::DownstreamTlsContext::LENIENT_STAPLING) {
    return Unsupported("ocsp_staple_policy");
  }
  TlsPlan plan;
  plan.is_server = true;
  auto common = CompileCommon(from.common_tls_context(), plan);
  if (!common.ok()) return WithContext(common.status(), kCommon);
  if (common->certificates.empty() && plan.certificate_secrets.empty()) {
    return absl::InvalidArgumentError("common_tls_context.tls_certificates: none is given");
  }
  plan.server.client_certificate = from.require_client_certificate().value()
                                       ? tls::ClientCertificate::kRequired
                                   : common->judges_peers ? tls::ClientCertificate::kOptional
                                                          : tls::ClientCertificate::kNone;
  plan.server.certificates = std::move(common->certificates);
  plan.server.verification = std::move(common->verification);
  plan.server.alpn = std::move(common->alpn);
  plan.server.version_min = common->version_min;
  plan.server.version_max = common->version_max;
  plan.server.algorithms = std::move(common->algorithms);
  plan.server.requires_server_name = from.require_sni().value();
  plan.server.scans_all_certificates = from.full_scan_certs_on_sni_mismatch().value();
  plan.server.prefers_client_ciphers = from.prefer_client_ciphers();
  MELTEMI_RETURN_IF_ERROR(CompileResumption(from, plan));
  MELTEMI_RETURN_IF_ERROR(WithContext(TryServer(plan), kCommon));
  return plan;
}

StatusOr<std::pair<std::string, SecretValue>> CompileSecret(std::string_view serialized) {
  v3::Secret from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("Secret cannot be decoded");
  }
  SecretValue value;
  if (from.has_tls_certificate()) {
    MELTEMI_ASSIGN_OR_RETURN(value.certificate, CompileCertificate(from.tls_certificate()));
  } else if (from.has_validation_context()) {
    value.validation.emplace();
    MELTEMI_RETURN_IF_ERROR(AddValidation(from.validation_context(), *value.validation));
  } else if (from.has_session_ticket_keys()) {
    MELTEMI_ASSIGN_OR_RETURN(value.ticket_keys, CompileTicketKeys(from.session_ticket_keys()));
  } else {
    return absl::UnimplementedError(
        "Secret: neither tls_certificate, validation_context nor session_ticket_keys");
  }
  MELTEMI_RETURN_IF_ERROR(WithContext(TrySecret(value), "Secret " + from.name()));
  return std::pair{from.name(), std::move(value)};
}

StatusOr<std::shared_ptr<const tls::ClientContext>> BuildClient(const TlsPlan& plan,
                                                                const Secrets& secrets) {
  tls::ClientSettings settings = plan.client;
  MELTEMI_ASSIGN_OR_RETURN(auto found, FindCertificates(plan, secrets));
  if (!found.empty()) settings.certificate = std::move(found[0]);
  MELTEMI_ASSIGN_OR_RETURN(settings.verification, Join(settings.verification, plan, secrets));
  return tls::ClientContext::Build(settings);
}

StatusOr<std::shared_ptr<const tls::ServerContext>> BuildServer(const TlsPlan& plan,
                                                                const Secrets& secrets) {
  tls::ServerSettings settings = plan.server;
  MELTEMI_ASSIGN_OR_RETURN(auto found, FindCertificates(plan, secrets));
  for (tls::CertificateKey& pair : found) settings.certificates.push_back(std::move(pair));
  if (!plan.ticket_secret.empty()) {
    settings.ticket_keys = secrets.find(plan.ticket_secret)->second.ticket_keys;
    if (settings.ticket_keys.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("secret {} has no session ticket keys", plan.ticket_secret));
    }
  }
  MELTEMI_ASSIGN_OR_RETURN(settings.verification, Join(settings.verification, plan, secrets));
  return tls::ServerContext::Build(settings);
}

}  // namespace meltemi::proxy
