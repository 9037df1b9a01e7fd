// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/tls_validation.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <re2/re2.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::core::v3::DataSource;
using tls::SanMatcher;

constexpr std::streamsize kPemBytesMax = 4 * 1024 * 1024;
constexpr size_t kHashBytes = 32;  // SHA-256

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

StatusOr<SanMatcher> CompileText(const envoy::type::matcher::v3::StringMatcher& from) {
  using Kind = SanMatcher::Kind;
  SanMatcher to;
  to.ignores_case = from.ignore_case();
  if (from.has_exact()) {
    to.value = from.exact();
  } else if (from.has_prefix()) {
    to.kind = Kind::kPrefix;
    to.value = from.prefix();
  } else if (from.has_suffix()) {
    to.kind = Kind::kSuffix;
    to.value = from.suffix();
  } else if (from.has_contains()) {
    to.kind = Kind::kContains;
    to.value = from.contains();
  } else if (from.has_safe_regex()) {
    to.kind = Kind::kRegex;
    to.value = from.safe_regex().regex();
    const RE2 regex(to.value, RE2::Quiet);
    if (!regex.ok()) {
      return absl::InvalidArgumentError(fmt::format("safe_regex: {}", regex.error()));
    }
  } else {
    return absl::UnimplementedError(
        "only exact, prefix, suffix, contains and safe_regex are supported");
  }
  return to;
}

StatusOr<SanMatcher::Type> CompileType(v3::SubjectAltNameMatcher::SanType from) {
  switch (from) {
    case v3::SubjectAltNameMatcher::EMAIL:
      return SanMatcher::Type::kEmail;
    case v3::SubjectAltNameMatcher::DNS:
      return SanMatcher::Type::kDns;
    case v3::SubjectAltNameMatcher::URI:
      return SanMatcher::Type::kUri;
    case v3::SubjectAltNameMatcher::IP_ADDRESS:
      return SanMatcher::Type::kIp;
    case v3::SubjectAltNameMatcher::OTHER_NAME:
      return absl::UnimplementedError("san_type: OTHER_NAME is not supported");
    default:
      return absl::InvalidArgumentError("san_type is required: EMAIL, DNS, URI or IP_ADDRESS");
  }
}

Status AddSans(const v3::CertificateValidationContext& from, tls::PeerVerification& to) {
  for (int i = 0; i < from.match_subject_alt_names_size(); ++i) {
    auto matcher = CompileText(from.match_subject_alt_names(i));
    if (!matcher.ok()) {
      return WithContext(matcher.status(), fmt::format("match_subject_alt_names[{}]", i));
    }
    to.subject_alt_names.push_back(*std::move(matcher));
  }
  for (int i = 0; i < from.match_typed_subject_alt_names_size(); ++i) {
    const auto& typed = from.match_typed_subject_alt_names(i);
    auto type = CompileType(typed.san_type());
    auto matcher = CompileText(typed.matcher());
    const Status status = type.ok() ? matcher.status() : type.status();
    if (!status.ok()) {
      return WithContext(status, fmt::format("match_typed_subject_alt_names[{}]", i));
    }
    matcher->type = *type;
    to.subject_alt_names.push_back(*std::move(matcher));
  }
  return absl::OkStatus();
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// "df:6f:..." or "df6f...", as OpenSSL prints fingerprints.
std::string HashOfHex(std::string_view text) {
  std::string bytes;
  std::optional<int> high;
  for (const char c : text) {
    if (c == ':' && !high) continue;
    const std::optional<int> digit = HexDigit(c);
    if (!digit) return "";
    if (high) {
      bytes.push_back(static_cast<char>(*high * 16 + *digit));
      high.reset();
    } else {
      high = digit;
    }
  }
  return high ? "" : bytes;
}

std::string HashOfBase64(const std::string& text) {
  std::string bytes;
  return absl::Base64Unescape(text, &bytes) ? bytes : "";
}

Status AddPins(const v3::CertificateValidationContext& from, tls::PeerVerification& to) {
  for (int i = 0; i < from.verify_certificate_hash_size(); ++i) {
    std::string hash = HashOfHex(from.verify_certificate_hash(i));
    if (hash.size() != kHashBytes) {
      return absl::InvalidArgumentError(
          fmt::format("verify_certificate_hash[{}]: must be a SHA-256 in hexadecimal digits", i));
    }
    to.certificate_pins.push_back(std::move(hash));
  }
  for (int i = 0; i < from.verify_certificate_spki_size(); ++i) {
    std::string hash = HashOfBase64(from.verify_certificate_spki(i));
    if (hash.size() != kHashBytes) {
      return absl::InvalidArgumentError(
          fmt::format("verify_certificate_spki[{}]: must be a SHA-256 in base64", i));
    }
    to.key_pins.push_back(std::move(hash));
  }
  return absl::OkStatus();
}

// What would weaken the check when ignored is refused by name.
Status RefuseUnsupported(const v3::CertificateValidationContext& from) {
  const char* field = nullptr;
  if (from.has_custom_validator_config()) field = "custom_validator_config";
  if (from.has_ca_certificate_provider_instance()) field = "ca_certificate_provider_instance";
  if (from.require_signed_certificate_timestamp().value()) {
    field = "require_signed_certificate_timestamp";
  }
  if (from.has_watched_directory()) field = "watched_directory";
  if (from.trusted_ca().has_watched_directory()) field = "trusted_ca.watched_directory";
  if (from.crl().has_watched_directory()) field = "crl.watched_directory";
  if (field != nullptr) return absl::UnimplementedError(fmt::format("{} is not supported", field));
  if (from.has_trusted_ca() && from.has_system_root_certs()) {
    return absl::InvalidArgumentError("trusted_ca, system_root_certs: only one may be given");
  }
  return absl::OkStatus();
}

}  // namespace

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

Status AddValidation(const v3::CertificateValidationContext& from, tls::PeerVerification& to) {
  MELTEMI_RETURN_IF_ERROR(RefuseUnsupported(from));
  tls::PeerVerification added;
  if (from.has_trusted_ca()) {
    MELTEMI_ASSIGN_OR_RETURN(std::string pem, ReadSource(from.trusted_ca(), "trusted_ca"));
    added.trusted_pem.push_back(std::move(pem));
  }
  if (from.has_crl()) {
    MELTEMI_ASSIGN_OR_RETURN(std::string pem, ReadSource(from.crl(), "crl"));
    added.crl_pem.push_back(std::move(pem));
  }
  added.is_system_trust = from.has_system_root_certs();
  added.checks_leaf_crl_only = from.only_verify_leaf_cert_crl();
  added.allows_expired = from.allow_expired_certificate();
  added.accepts_untrusted =
      from.trust_chain_verification() == v3::CertificateValidationContext::ACCEPT_UNTRUSTED;
  if (from.has_max_verify_depth()) added.depth_max = from.max_verify_depth().value();
  MELTEMI_RETURN_IF_ERROR(AddSans(from, added));
  MELTEMI_RETURN_IF_ERROR(AddPins(from, added));
  Merge(added, to);
  return absl::OkStatus();
}

void Merge(const tls::PeerVerification& from, tls::PeerVerification& to) {
  const auto append = [](const auto& added, auto& list) {
    list.insert(list.end(), added.begin(), added.end());
  };
  append(from.subject_alt_names, to.subject_alt_names);
  append(from.certificate_pins, to.certificate_pins);
  append(from.key_pins, to.key_pins);
  if (HasTrust(from)) {
    to.trusted_pem = from.trusted_pem;
    to.is_system_trust = from.is_system_trust;
  }
  if (!from.crl_pem.empty()) to.crl_pem = from.crl_pem;
  to.checks_leaf_crl_only |= from.checks_leaf_crl_only;
  to.allows_expired |= from.allows_expired;
  to.accepts_untrusted |= from.accepts_untrusted;
  to.depth_max = std::min(to.depth_max, from.depth_max);
}

bool HasTrust(const tls::PeerVerification& verification) {
  return !verification.trusted_pem.empty() || verification.is_system_trust;
}

bool HasPins(const tls::PeerVerification& verification) {
  return !verification.certificate_pins.empty() || !verification.key_pins.empty();
}

}  // namespace meltemi::proxy
