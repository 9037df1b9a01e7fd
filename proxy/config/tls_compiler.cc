// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/tls_compiler.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::core::v3::DataSource;

constexpr std::streamsize kPemBytesMax = 4 * 1024 * 1024;

StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(fmt::format("cannot read {}", path));
  std::string text(static_cast<size_t>(kPemBytesMax) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.gcount() > kPemBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("{} is larger than {} bytes", path, kPemBytesMax));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  text.shrink_to_fit();  // it is kept, and most of the buffer is air
  return text;
}

StatusOr<std::string> ReadSource(const DataSource& source, std::string_view field) {
  switch (source.specifier_case()) {
    case DataSource::kInlineString:
      return source.inline_string();
    case DataSource::kInlineBytes:
      return source.inline_bytes();
    case DataSource::kFilename: {
      auto text = ReadFile(source.filename());
      if (!text.ok()) return WithContext(text.status(), field);
      return text;
    }
    case DataSource::kEnvironmentVariable: {
      const char* value = std::getenv(source.environment_variable().c_str());
      if (value == nullptr) {
        return absl::NotFoundError(fmt::format("{}: environment variable {} is not set", field,
                                               source.environment_variable()));
      }
      return std::string(value);
    }
    case DataSource::SPECIFIER_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(fmt::format("{}: no source given", field));
}

StatusOr<tls::SanMatcher> CompileSan(const envoy::type::matcher::v3::StringMatcher& from) {
  using Kind = tls::SanMatcher::Kind;
  if (from.ignore_case()) {
    return absl::InvalidArgumentError("match_subject_alt_names: ignore_case is not supported");
  }
  if (from.has_exact()) return tls::SanMatcher{Kind::kExact, from.exact()};
  if (from.has_prefix()) return tls::SanMatcher{Kind::kPrefix, from.prefix()};
  if (from.has_suffix()) return tls::SanMatcher{Kind::kSuffix, from.suffix()};
  if (from.has_contains()) return tls::SanMatcher{Kind::kContains, from.contains()};
  return absl::InvalidArgumentError(
      "match_subject_alt_names: only exact, prefix, suffix and contains are supported");
}

// What would weaken the check when ignored is refused by name.
Status RefuseUnsupported(const v3::CertificateValidationContext& from) {
  const char* field = nullptr;
  if (from.verify_certificate_spki_size() > 0) field = "verify_certificate_spki";
  if (from.verify_certificate_hash_size() > 0) field = "verify_certificate_hash";
  if (from.has_crl()) field = "crl";
  if (from.has_custom_validator_config()) field = "custom_validator_config";
  if (from.trust_chain_verification() != v3::CertificateValidationContext::VERIFY_TRUST_CHAIN) {
    field = "trust_chain_verification";
  }
  if (field == nullptr) return absl::OkStatus();
  return absl::UnimplementedError(fmt::format("validation_context.{} is not supported", field));
}

// Adds `from` to `to`: a combined context is the default's matchers and the secret's trust.
Status AddValidation(const v3::CertificateValidationContext& from, tls::PeerVerification& to) {
  MELTEMI_RETURN_IF_ERROR(RefuseUnsupported(from));
  if (from.has_trusted_ca()) {
    MELTEMI_ASSIGN_OR_RETURN(std::string pem, ReadSource(from.trusted_ca(), "trusted_ca"));
    to.trusted_pem.push_back(std::move(pem));
  }
  to.is_system_trust = to.is_system_trust || from.has_system_root_certs();
  for (const auto& san : from.match_subject_alt_names()) {
    MELTEMI_ASSIGN_OR_RETURN(tls::SanMatcher matcher, CompileSan(san));
    to.subject_alt_names.push_back(std::move(matcher));
  }
  for (const auto& san : from.match_typed_subject_alt_names()) {
    MELTEMI_ASSIGN_OR_RETURN(tls::SanMatcher matcher, CompileSan(san.matcher()));
    to.subject_alt_names.push_back(std::move(matcher));
  }
  return absl::OkStatus();
}

StatusOr<tls::CertificateKey> CompileCertificate(const v3::TlsCertificate& from) {
  if (from.has_private_key_provider()) {
    return absl::UnimplementedError("tls_certificate.private_key_provider is not supported");
  }
  tls::CertificateKey pair;
  MELTEMI_ASSIGN_OR_RETURN(pair.chain_pem,
                           ReadSource(from.certificate_chain(), "certificate_chain"));
  MELTEMI_ASSIGN_OR_RETURN(pair.key_pem, ReadSource(from.private_key(), "private_key"));
  return pair;
}

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
      return absl::InvalidArgumentError("tls_params: TLS before 1.2 is not supported");
  }
}

void NoteFetchTimeout(const v3::SdsSecretConfig& from, TlsPlan& plan) {
  if (!from.sds_config().has_initial_fetch_timeout()) return;
  const auto& timeout = from.sds_config().initial_fetch_timeout();
  plan.fetch_timeout =
      std::chrono::seconds(timeout.seconds()) + std::chrono::nanoseconds(timeout.nanos());
}

struct Common {
  std::vector<tls::CertificateKey> certificates;
  tls::PeerVerification verification;
  bool has_trust = false;
  int version_min = 12, version_max = 13;
};

Status CompileValidation(const v3::CommonTlsContext& from, Common& to, TlsPlan& plan) {
  const v3::CertificateValidationContext* context = nullptr;
  if (from.has_validation_context()) context = &from.validation_context();
  if (from.has_validation_context_sds_secret_config()) {
    plan.validation_secret = from.validation_context_sds_secret_config().name();
    NoteFetchTimeout(from.validation_context_sds_secret_config(), plan);
  }
  if (from.has_combined_validation_context()) {
    context = &from.combined_validation_context().default_validation_context();
    const auto& secret = from.combined_validation_context().validation_context_sds_secret_config();
    plan.validation_secret = secret.name();
    NoteFetchTimeout(secret, plan);
  }
  if (context != nullptr) MELTEMI_RETURN_IF_ERROR(AddValidation(*context, to.verification));
  to.has_trust = !plan.validation_secret.empty() || !to.verification.trusted_pem.empty() ||
                 to.verification.is_system_trust;
  if (!to.has_trust && !to.verification.subject_alt_names.empty()) {
    return absl::InvalidArgumentError("subject alt names are matched but no trusted_ca is given");
  }
  to.verification.is_disabled = !to.has_trust;
  return absl::OkStatus();
}

StatusOr<Common> CompileCommon(const v3::CommonTlsContext& from, TlsPlan& plan) {
  Common to;
  if (from.has_custom_handshaker() || from.has_tls_certificate_provider_instance() ||
      from.has_custom_tls_certificate_selector()) {
    return absl::UnimplementedError(
        "common_tls_context: custom_handshaker, certificate providers and selectors are not "
        "supported");
  }
  for (const auto& certificate : from.tls_certificates()) {
    MELTEMI_ASSIGN_OR_RETURN(tls::CertificateKey pair, CompileCertificate(certificate));
    to.certificates.push_back(std::move(pair));
  }
  if (from.tls_certificate_sds_secret_configs_size() > 1) {
    return absl::UnimplementedError(
        "only one tls_certificate_sds_secret_configs entry is supported");
  }
  if (from.tls_certificate_sds_secret_configs_size() == 1) {
    plan.certificate_secret = from.tls_certificate_sds_secret_configs(0).name();
    NoteFetchTimeout(from.tls_certificate_sds_secret_configs(0), plan);
  }
  MELTEMI_RETURN_IF_ERROR(CompileValidation(from, to, plan));
  const auto& params = from.tls_params();
  MELTEMI_ASSIGN_OR_RETURN(to.version_min, Version(params.tls_minimum_protocol_version(), 12));
  MELTEMI_ASSIGN_OR_RETURN(to.version_max, Version(params.tls_maximum_protocol_version(), 13));
  if (to.version_min > to.version_max) {
    return absl::InvalidArgumentError("tls_params: minimum version is above the maximum");
  }
  return to;
}

StatusOr<tls::PeerVerification> Join(tls::PeerVerification verification, const TlsPlan& plan,
                                     const Secrets& secrets) {
  if (plan.validation_secret.empty()) return verification;
  const auto& secret = secrets.find(plan.validation_secret)->second;
  if (!secret.validation) {
    return absl::InvalidArgumentError(
        fmt::format("secret {} is not a validation context", plan.validation_secret));
  }
  for (const std::string& pem : secret.validation->trusted_pem)
    verification.trusted_pem.push_back(pem);
  for (const auto& san : secret.validation->subject_alt_names) {
    verification.subject_alt_names.push_back(san);
  }
  verification.is_system_trust |= secret.validation->is_system_trust;
  return verification;
}

Status FindCertificate(const TlsPlan& plan, const Secrets& secrets, tls::CertificateKey& found) {
  const auto& secret = secrets.find(plan.certificate_secret)->second;
  if (!secret.certificate) {
    return absl::InvalidArgumentError(
        fmt::format("secret {} is not a certificate with its key", plan.certificate_secret));
  }
  found = *secret.certificate;
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> TlsPlan::secrets() const {
  std::set<std::string> names;
  if (!certificate_secret.empty()) names.insert(certificate_secret);
  if (!validation_secret.empty()) names.insert(validation_secret);
  return names;
}

bool TlsPlan::has_secrets(const Secrets& known) const {
  return (certificate_secret.empty() || known.contains(certificate_secret)) &&
         (validation_secret.empty() || known.contains(validation_secret));
}

StatusOr<TlsPlan> CompileUpstreamTls(std::string_view serialized) {
  v3::UpstreamTlsContext from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("UpstreamTlsContext cannot be decoded");
  }
  TlsPlan plan;
  MELTEMI_ASSIGN_OR_RETURN(Common common, CompileCommon(from.common_tls_context(), plan));
  if (common.certificates.size() > 1) {
    return absl::UnimplementedError("UpstreamTlsContext: only one certificate is supported");
  }
  if (from.auto_sni_san_validation()) {
    return absl::UnimplementedError("UpstreamTlsContext.auto_sni_san_validation is not supported");
  }
  if (!common.certificates.empty()) plan.client.certificate = std::move(common.certificates[0]);
  plan.client.verification = std::move(common.verification);
  const auto& alpn = from.common_tls_context().alpn_protocols();
  plan.client.alpn.assign(alpn.begin(), alpn.end());
  plan.client.server_name = from.sni();
  plan.client.version_min = common.version_min;
  plan.client.version_max = common.version_max;
  plan.is_server_name_automatic = from.auto_host_sni();
  return plan;
}

StatusOr<TlsPlan> CompileDownstreamTls(std::string_view serialized) {
  v3::DownstreamTlsContext from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("DownstreamTlsContext cannot be decoded");
  }
  TlsPlan plan;
  MELTEMI_ASSIGN_OR_RETURN(Common common, CompileCommon(from.common_tls_context(), plan));
  if (common.certificates.empty() && plan.certificate_secret.empty()) {
    return absl::InvalidArgumentError("DownstreamTlsContext: no certificate is given");
  }
  plan.server.client_certificate = from.require_client_certificate().value()
                                       ? tls::ClientCertificate::kRequired
                                   : common.has_trust ? tls::ClientCertificate::kOptional
                                                      : tls::ClientCertificate::kNone;
  plan.server.certificates = std::move(common.certificates);
  plan.server.verification = std::move(common.verification);
  const auto& alpn = from.common_tls_context().alpn_protocols();
  plan.server.alpn.assign(alpn.begin(), alpn.end());
  plan.server.version_min = common.version_min;
  plan.server.version_max = common.version_max;
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
  } else {
    return absl::UnimplementedError("Secret: neither tls_certificate nor validation_context");
  }
  return std::pair{from.name(), std::move(value)};
}

StatusOr<std::shared_ptr<const tls::ClientContext>> BuildClient(const TlsPlan& plan,
                                                                const Secrets& secrets) {
  tls::ClientSettings settings = plan.client;
  if (!plan.certificate_secret.empty()) {
    settings.certificate.emplace();
    MELTEMI_RETURN_IF_ERROR(FindCertificate(plan, secrets, *settings.certificate));
  }
  MELTEMI_ASSIGN_OR_RETURN(settings.verification, Join(settings.verification, plan, secrets));
  return tls::ClientContext::Build(settings);
}

StatusOr<std::shared_ptr<const tls::ServerContext>> BuildServer(const TlsPlan& plan,
                                                                const Secrets& secrets) {
  tls::ServerSettings settings = plan.server;
  if (!plan.certificate_secret.empty()) {
    settings.certificates.emplace_back();
    MELTEMI_RETURN_IF_ERROR(FindCertificate(plan, secrets, settings.certificates.back()));
  }
  MELTEMI_ASSIGN_OR_RETURN(settings.verification, Join(settings.verification, plan, secrets));
  return tls::ServerContext::Build(settings);
}

}  // namespace meltemi::proxy
