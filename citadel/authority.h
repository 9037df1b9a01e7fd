// SPDX-License-Identifier: Apache-2.0
// The certificate authority of a mesh: a self-signed root of its own, or an intermediate that was
// plugged in. Model-thread only; signs in about a tenth of a millisecond.
//
// Invariants:
//  1. The names in a certificate come from the caller of these functions, never from a request.
//  2. The authority's key leaves this object only into its file, which is of mode 0600.
//  3. No certificate outlives the authority's own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/identity/certificate.h"
#include "lib/identity/spiffe_id.h"
#include "lib/tls/context.h"

namespace meltemi::citadel {

// Istio's numbers.
inline constexpr Duration kRootLifetime = std::chrono::hours(24 * 3650);
inline constexpr Duration kWorkloadLifetime = std::chrono::hours(24);
inline constexpr Duration kWorkloadLifetimeMax = std::chrono::hours(24 * 90);
inline constexpr Duration kBackdate = std::chrono::minutes(2);  // clocks differ

struct AuthorityOptions {
  std::string trust_domain = "cluster.local";
  const Clock* clock = &RealClock();
  Duration workload_lifetime = kWorkloadLifetime;  // when a request names none
  Duration workload_lifetime_max = kWorkloadLifetimeMax;
};

class Authority final {
 public:
  // A root kept in `directory` (root-key.pem, root-cert.pem; made when missing); "" = in memory
  // only. A root in the last fifth of its life is renewed with its key, so what it signed stays
  // good.
  static StatusOr<std::unique_ptr<Authority>> SelfSigned(const std::string& directory,
                                                         const AuthorityOptions& options);
  // Istio's `cacerts`: ca-cert.pem, ca-key.pem, root-cert.pem and, for an intermediate,
  // cert-chain.pem.
  static StatusOr<std::unique_ptr<Authority>> PluggedIn(const std::string& directory,
                                                        const AuthorityOptions& options);

  // Leaf, intermediates, roots: one PEM each. InvalidArgument when the request is bad or asks for
  // more than the maximum; `lifetime` of zero or less means the default.
  StatusOr<std::vector<std::string>> SignWorkload(std::string_view csr_pem,
                                                  const identity::SpiffeId& id, Duration lifetime);
  // A certificate with a new key, for a server of our own.
  StatusOr<tls::CertificateKey> IssueServer(const identity::AltNames& names, Duration lifetime);

  const std::string& root_pem() const { return root_pem_; }
  WallTime root_expiry() const;
  const std::string& trust_domain() const { return options_.trust_domain; }
  uint64_t certificates_signed() const { return certificates_signed_; }

 private:
  Authority(AuthorityOptions options, identity::PrivateKey key, identity::Certificate certificate)
      : options_(std::move(options)), key_(std::move(key)), certificate_(std::move(certificate)) {}
  StatusOr<identity::Certificate> Sign(const identity::PublicKey& key, identity::AltNames names,
                                       Duration lifetime);
  // Fails unless our certificate leads to a root over the chain.
  Status CheckChain() const;

  const AuthorityOptions options_;
  const identity::PrivateKey key_;
  const identity::Certificate certificate_;
  std::vector<identity::Certificate> chain_;  // ours first; empty when ours is the root
  std::vector<identity::Certificate> roots_;
  std::string root_pem_;
  uint64_t certificates_signed_ = 0;
};

}  // namespace meltemi::citadel
