// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/control_tls.h"

#include <utility>

#include "proxy/agent/text_file.h"

namespace meltemi::proxy {

void ControlTls::SetCertificate(tls::CertificateKey certificate, WallTime not_after) {
  certificate_ = std::move(certificate);
  not_after_ = not_after;
  context_.reset();
}

StatusOr<std::shared_ptr<const tls::ClientContext>> ControlTls::Context() {
  MELTEMI_ASSIGN_OR_RETURN(std::string roots, ReadTextFile(root_cert_path_, "root certificate"));
  if (certificate_.has_value() && not_after_ <= clock_.Wall()) {
    certificate_.reset();
    context_.reset();
  }
  if (context_ != nullptr && roots == roots_pem_) return context_;
  tls::ClientSettings settings;
  settings.certificate = certificate_;
  settings.verification.trusted_pem = {roots};
  settings.verification.subject_alt_names = {{tls::SanMatcher::Kind::kExact, server_name_}};
  settings.server_name = server_name_;
  settings.alpn = {"h2"};
  auto context = tls::ClientContext::Build(settings);
  if (!context.ok()) return WithContext(context.status(), "TLS towards the control plane");
  roots_pem_ = std::move(roots);
  context_ = *std::move(context);
  return context_;
}

}  // namespace meltemi::proxy
