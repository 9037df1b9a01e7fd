// SPDX-License-Identifier: Apache-2.0
#include "citadel/authenticator.h"

#include <fmt/format.h>

#include <optional>

namespace meltemi::citadel {
namespace {

// Istio's agents write "Bearer", older ones "Istio".
std::optional<std::string_view> Token(const grpc::PeerInfo& peer) {
  const auto [first, last] = peer.metadata.equal_range("authorization");
  for (auto at = first; at != last; ++at) {
    for (const std::string_view scheme : {"Bearer ", "bearer ", "Istio "}) {
      if (at->second.starts_with(scheme)) return std::string_view(at->second).substr(scheme.size());
    }
  }
  return std::nullopt;
}

}  // namespace

StatusOr<identity::SpiffeId> Authenticator::Authenticate(const grpc::PeerInfo& peer) const {
  if (!peer.uri_san.empty()) {
    auto id = identity::SpiffeId::Parse(peer.uri_san);
    if (!id.ok()) return absl::UnauthenticatedError(id.status().message());
    if (id->trust_domain == trust_domain_) {
      MELTEMI_RETURN_IF_ERROR(CheckPresent({id->ns, id->service_account}));
      return id;
    }
    return absl::UnauthenticatedError(
        fmt::format("{} is not of trust domain {}", peer.uri_san, trust_domain_));
  }
  const auto token = Token(peer);
  if (!token.has_value()) {
    return absl::UnauthenticatedError(
        "no credentials: send a service-account token (authorization: Bearer ...) or connect with "
        "a client certificate of this mesh");
  }
  MELTEMI_ASSIGN_OR_RETURN(TokenIdentity who, tokens_.Verify(*token, kTokenAudience));
  MELTEMI_RETURN_IF_ERROR(CheckPresent(who));
  return identity::SpiffeId{trust_domain_, std::move(who.ns), std::move(who.service_account)};
}

Status Authenticator::CheckPresent(const TokenIdentity& who) const {
  if (is_present_ == nullptr || is_present_(who.ns, who.service_account, who.service_account_uid))
    return absl::OkStatus();
  return absl::UnauthenticatedError(fmt::format(
      "the service account {}/{} of these credentials was deleted", who.ns, who.service_account));
}

StatusOr<std::string> Authenticator::Admit(const grpc::PeerInfo& peer, std::string_view ns,
                                           std::string_view service_account) const {
  if (!peer.is_tls) return std::string();
  MELTEMI_ASSIGN_OR_RETURN(const identity::SpiffeId id, Authenticate(peer));
  if (id.ns != ns) {
    return absl::PermissionDeniedError(
        fmt::format("{} may not have the configuration of namespace \"{}\"", id.text(), ns));
  }
  if (!service_account.empty() && id.service_account != service_account) {
    return absl::PermissionDeniedError(fmt::format(
        "{} may not have the configuration of service account \"{}\"", id.text(), service_account));
  }
  return id.text();
}

}  // namespace meltemi::citadel
