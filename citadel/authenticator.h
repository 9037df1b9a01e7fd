// SPDX-License-Identifier: Apache-2.0
// Who calls: from the client certificate of the connection, or else from a bearer token. Shared by
// the certificate service and the discovery service. Model-thread only; outlived by its issuer.
#pragma once

#include <string>

#include "citadel/token_issuer.h"
#include "lib/grpc/server.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::citadel {

class Authenticator final {
 public:
  Authenticator(const TokenIssuer& tokens, std::string trust_domain)
      : tokens_(tokens), trust_domain_(std::move(trust_domain)) {}

  // Unauthenticated when the call carries nothing that proves an identity of this mesh.
  StatusOr<identity::SpiffeId> Authenticate(const grpc::PeerInfo& peer) const;
  // The caller's SPIFFE id when it may act for a workload of this namespace and service account
  // ("" = not stated). On plain text, which whoever opened that port trusts, "".
  StatusOr<std::string> Admit(const grpc::PeerInfo& peer, std::string_view ns,
                              std::string_view service_account) const;

 private:
  const TokenIssuer& tokens_;
  const std::string trust_domain_;
};

}  // namespace meltemi::citadel
