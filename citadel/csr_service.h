// SPDX-License-Identifier: Apache-2.0
// Istio's certificate service over gRPC: a workload sends a signing request and gets a certificate
// for the identity it proved. Model-thread only; outlives the server that runs its methods.
#pragma once

#include <cstdint>

#include "citadel/authenticator.h"
#include "citadel/authority.h"
#include "lib/grpc/server.h"

namespace meltemi::citadel {

class CsrService final {
 public:
  // Names are those of Istio's metrics, without the prefix citadel_server_.
  struct Counters {
    uint64_t csr_count = 0;
    uint64_t authentication_failure_count = 0;
    uint64_t csr_sign_err_count = 0;
    uint64_t success_cert_issuance_count = 0;
  };

  CsrService(Authority& authority, const Authenticator& authenticator)
      : authority_(authority), authenticator_(authenticator) {}
  CsrService(const CsrService&) = delete;
  CsrService& operator=(const CsrService&) = delete;

  grpc::MethodTable Methods();
  const Counters& counters() const { return counters_; }

 private:
  class Handler;
  grpc::CallStatus Answer(grpc::ServerCall& call, std::string_view message);

  Authority& authority_;
  const Authenticator& authenticator_;
  Counters counters_;
};

}  // namespace meltemi::citadel
