// SPDX-License-Identifier: Apache-2.0
// Who calls: from the client certificate of the connection, or else from a bearer token. Shared by
// the certificate service and the discovery service. Model-thread only; outlived by its issuer.
#pragma once

#include <functional>
#include <string>

#include "citadel/token_issuer.h"
#include "lib/grpc/server.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::citadel {

class Authenticator final {
 public:
  // Whether a service account is there: any of that name for a certificate, whose uid is then "";
  // for a token the very one, since a name may be used again.
  using IsPresent =
      std::function<bool(const std::string& ns, const std::string& name, const std::string& uid)>;

  // Without `is_present` no account is ever missed.
  Authenticator(const TokenIssuer& tokens, std::string trust_domain, IsPresent is_present = nullptr)
      : tokens_(tokens),
        trust_domain_(std::move(trust_domain)),
        is_present_(std::move(is_present)) {}

  // Unauthenticated when the call carries nothing that proves an identity of this mesh.
  StatusOr<identity::SpiffeId> Authenticate(const grpc::PeerInfo& peer) const;
  // The caller's SPIFFE id when it may act for a workload of this namespace and service account
  // ("" = not stated). On plain text, which whoever opened that port trusts, "".
  StatusOr<std::string> Admit(const grpc::PeerInfo& peer, std::string_view ns,
                              std::string_view service_account) const;

 private:
  Status CheckPresent(const TokenIdentity& who) const;

  const TokenIssuer& tokens_;
  const std::string trust_domain_;
  const IsPresent is_present_;
};

}  // namespace meltemi::citadel
