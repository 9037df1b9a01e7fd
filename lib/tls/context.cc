// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/context.h"

#include <array>
#include <fstream>
#include <sstream>

#include "lib/tls/engine.h"
#include "lib/tls/record_layer.h"

namespace meltemi::tls {
namespace {

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

Status AddVerification(engine::Settings* settings, const PeerVerification& verification) {
  if (verification.is_system_trust) {
    MELTEMI_ASSIGN_OR_RETURN(const std::string pem, SystemTrust());
    meltemi_tls_settings_trust(settings, engine::Slice(pem));
  }
  for (const std::string& pem : verification.trusted_pem) {
    meltemi_tls_settings_trust(settings, engine::Slice(pem));
  }
  for (const SanMatcher& matcher : verification.subject_alt_names) {
    meltemi_tls_settings_san(settings, static_cast<int32_t>(matcher.kind),
                             engine::Slice(matcher.value));
  }
  return absl::OkStatus();
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
  for (const std::string& protocol : settings.alpn) {
    meltemi_tls_settings_alpn(gathered.get(), engine::Slice(protocol));
  }
  MELTEMI_RETURN_IF_ERROR(AddVerification(gathered.get(), settings.verification));
  const engine::ServerOptions options{
      .client_certificate = static_cast<int32_t>(settings.client_certificate),
      .is_disabled = settings.verification.is_disabled,
      .version_min = settings.version_min,
      .version_max = settings.version_max,
      .tickets = settings.tickets};
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
  for (const std::string& protocol : settings.alpn) {
    meltemi_tls_settings_alpn(gathered.get(), engine::Slice(protocol));
  }
  MELTEMI_RETURN_IF_ERROR(AddVerification(gathered.get(), settings.verification));
  const engine::ClientOptions options{.is_disabled = settings.verification.is_disabled,
                                      .version_min = settings.version_min,
                                      .version_max = settings.version_max};
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
