// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/context.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "lib/base/check.h"
#include "lib/tls/engine.h"
#include "lib/tls/record_layer.h"

namespace meltemi::tls {
namespace {

constexpr size_t kTicketKeyBytes = 80;

// Where distributions keep their bundle of public CAs.
constexpr const char* kSystemBundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

StatusOr<std::string> SystemTrust() {
  for (const char* path : kSystemBundles) {
    std::ifstream file(path, std::ios::binary);
    if (!file) continue;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  return absl::NotFoundError("no bundle of system CAs; install ca-certificates");
}

void Add(engine::Settings* settings, engine::Item item, std::string_view bytes) {
  MELTEMI_CHECK(
      meltemi_tls_settings_add(settings, static_cast<int32_t>(item), engine::Slice(bytes)));
}

bool MatchesRegex(const void* regex, engine::Slice text) {
  const std::string_view view = text.view();
  return RE2::FullMatch(re2::StringPiece(view.data(), view.size()),
                        *static_cast<const RE2*>(regex));
}

void FreeRegex(void* regex) {
  delete static_cast<RE2*>(regex);
}

Status AddSan(engine::Settings* settings, const SanMatcher& matcher) {
  engine::San san{.kind = static_cast<int32_t>(matcher.kind),
                  .type = static_cast<int32_t>(matcher.type),
                  .ignores_case = matcher.ignores_case,
                  .value = engine::Slice(matcher.value)};
  if (matcher.kind == SanMatcher::Kind::kRegex) {
    auto regex = std::make_unique<RE2>(matcher.value, RE2::Quiet);
    if (!regex->ok()) {
      return absl::InvalidArgumentError("regex \"" + matcher.value + "\": " + regex->error());
    }
    san.regex = regex.release();
    san.matches = MatchesRegex;
    san.free = FreeRegex;
  }
  meltemi_tls_settings_san(settings, &san);
  return absl::OkStatus();
}

Status AddVerification(engine::Settings* settings, const PeerVerification& verification) {
  using engine::Item;
  if (verification.is_system_trust) {
    MELTEMI_ASSIGN_OR_RETURN(const std::string pem, SystemTrust());
    Add(settings, Item::kTrustPem, pem);
  }
  for (const std::string& pem : verification.trusted_pem) Add(settings, Item::kTrustPem, pem);
  for (const std::string& pem : verification.crl_pem) Add(settings, Item::kCrlPem, pem);
  for (const std::string& pin : verification.certificate_pins) {
    Add(settings, Item::kCertificatePin, pin);
  }
  for (const std::string& pin : verification.key_pins) Add(settings, Item::kKeyPin, pin);
  for (const SanMatcher& matcher : verification.subject_alt_names) {
    MELTEMI_RETURN_IF_ERROR(AddSan(settings, matcher));
  }
  return absl::OkStatus();
}

// The part of the options that both sides have.
engine::Options CommonOptions(const PeerVerification& verification, int version_min,
                              int version_max) {
  return {.version_min = version_min,
          .version_max = version_max,
          .depth_max = verification.depth_max,
          .is_chain_ignored = verification.is_disabled,
          .accepts_untrusted = verification.accepts_untrusted,
          .allows_expired = verification.allows_expired,
          .checks_leaf_crl_only = verification.checks_leaf_crl_only,
          .matches_server_name = verification.matches_server_name};
}

void AddProtocols(engine::Settings* settings, const std::vector<std::string>& alpn,
                  const Algorithms& algorithms) {
  for (const std::string& protocol : alpn) Add(settings, engine::Item::kAlpn, protocol);
  for (const uint16_t cipher : algorithms.ciphers) meltemi_tls_settings_cipher(settings, cipher);
  for (const uint16_t group : algorithms.groups) meltemi_tls_settings_group(settings, group);
}

void AddCertificate(engine::Settings* settings, const CertificateKey& pair) {
  meltemi_tls_settings_certificate(settings, engine::Slice(pair.chain_pem),
                                   engine::Slice(pair.key_pem));
}

class EngineServerContext final : public ServerContext {
 public:
  explicit EngineServerContext(engine::ServerContextPointer context)
      : context_(std::move(context)) {}
  std::unique_ptr<net::RecordLayer> NewSession() const override {
    return std::make_unique<EngineRecordLayer>(
        engine::SessionPointer(meltemi_tls_server_session_new(context_.get())));
  }

 private:
  const engine::ServerContextPointer context_;
};

class EngineClientContext final : public ClientContext {
 public:
  EngineClientContext(engine::ClientContextPointer context, std::string server_name)
      : context_(std::move(context)), server_name_(std::move(server_name)) {}
  std::unique_ptr<net::RecordLayer> NewSession(const std::vector<std::string>& alpn,
                                               const std::string& server_name) const override {
    std::vector<engine::Slice> protocols;
    for (const std::string& protocol : alpn) protocols.emplace_back(protocol);
    const engine::Slice name(server_name.empty() ? server_name_ : server_name);
    return std::make_unique<EngineRecordLayer>(engine::SessionPointer(
        meltemi_tls_client_session_new(context_.get(), name, protocols.data(), protocols.size())));
  }

 private:
  const engine::ClientContextPointer context_;
  const std::string server_name_;
};

}  // namespace

StatusOr<std::shared_ptr<const ServerContext>> ServerContext::Build(
    const ServerSettings& settings) {
  const engine::SettingsPointer gathered(engine::meltemi_tls_settings_new());
  for (const CertificateKey& pair : settings.certificates) AddCertificate(gathered.get(), pair);
  AddProtocols(gathered.get(), settings.alpn, settings.algorithms);
  for (const std::string& key : settings.ticket_keys) {
    if (key.size() != kTicketKeyBytes) {
      return absl::InvalidArgumentError("TLS server: a session ticket key has 80 bytes");
    }
    Add(gathered.get(), engine::Item::kTicketKey, key);
  }
  MELTEMI_RETURN_IF_ERROR(AddVerification(gathered.get(), settings.verification));
  engine::Options options =
      CommonOptions(settings.verification, settings.version_min, settings.version_max);
  options.client_certificate = static_cast<int32_t>(settings.client_certificate);
  options.tickets = static_cast<uint32_t>(std::max(settings.tickets, 0));
  options.ticket_seconds = settings.ticket_seconds;
  options.sessions_max = settings.sessions_max;
  options.prefers_client_ciphers = settings.prefers_client_ciphers;
  options.scans_all_certificates = settings.scans_all_certificates;
  options.requires_server_name = settings.requires_server_name;
  std::array<char, 512> error;
  size_t error_size = 0;
  engine::ServerContextPointer context(meltemi_tls_server_context_new(
      gathered.get(), &options, {error.data(), error.size()}, &error_size));
  if (context == nullptr) {
    return absl::InvalidArgumentError("TLS server: " + std::string(error.data(), error_size));
  }
  return std::make_shared<EngineServerContext>(std::move(context));
}

StatusOr<std::shared_ptr<const ClientContext>> ClientContext::Build(
    const ClientSettings& settings) {
  const engine::SettingsPointer gathered(engine::meltemi_tls_settings_new());
  if (settings.certificate) AddCertificate(gathered.get(), *settings.certificate);
  AddProtocols(gathered.get(), settings.alpn, settings.algorithms);
  MELTEMI_RETURN_IF_ERROR(AddVerification(gathered.get(), settings.verification));
  engine::Options options =
      CommonOptions(settings.verification, settings.version_min, settings.version_max);
  options.sessions_max = settings.sessions_max;
  std::array<char, 512> error;
  size_t error_size = 0;
  engine::ClientContextPointer context(meltemi_tls_client_context_new(
      gathered.get(), &options, {error.data(), error.size()}, &error_size));
  if (context == nullptr) {
    return absl::InvalidArgumentError("TLS client: " + std::string(error.data(), error_size));
  }
  return std::make_shared<EngineClientContext>(std::move(context), settings.server_name);
}

}  // namespace meltemi::tls
