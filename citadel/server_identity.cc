// SPDX-License-Identifier: Apache-2.0
#include "citadel/server_identity.h"

#include "lib/base/log.h"

namespace meltemi::citadel {
namespace {

// Timers stand still while a machine sleeps and certificates do not: the wall clock is looked at
// this often.
constexpr Duration kLookAfter = std::chrono::minutes(1);

}  // namespace

ServerIdentity::ServerIdentity(runtime::Loop& loop, Authority& authority, identity::AltNames names)
    : authority_(authority), names_(std::move(names)), timer_(loop, [this] {
        if (RealClock().Wall() < renewal_) return timer_.Arm(kLookAfter);
        const Status renewed = Renew();
        if (renewed.ok()) return;
        MELTEMI_LOG(error, "citadel: renewing the server certificate: {}", Message(renewed));
        timer_.Arm(kLookAfter);
      }) {}

StatusOr<std::unique_ptr<ServerIdentity>> ServerIdentity::Create(runtime::Loop& loop,
                                                                 Authority& authority,
                                                                 identity::AltNames names) {
  std::unique_ptr<ServerIdentity> made(new ServerIdentity(loop, authority, std::move(names)));
  MELTEMI_RETURN_IF_ERROR(made->Renew());
  return made;
}

Status ServerIdentity::Renew() {
  MELTEMI_ASSIGN_OR_RETURN(tls::CertificateKey pair,
                           authority_.IssueServer(names_, kServerLifetime));
  tls::ServerSettings settings;
  settings.certificates = {std::move(pair)};
  settings.client_certificate = tls::ClientCertificate::kOptional;
  settings.verification.trusted_pem = {authority_.root_pem()};
  settings.alpn = {"h2"};
  MELTEMI_ASSIGN_OR_RETURN(context_, tls::ServerContext::Build(settings));
  renewal_ =
      RealClock().Wall() + std::chrono::duration_cast<WallTime::duration>(kServerLifetime / 2);
  timer_.Arm(kLookAfter);
  return absl::OkStatus();
}

}  // namespace meltemi::citadel
