// SPDX-License-Identifier: Apache-2.0
// Service-account tokens as Kubernetes' TokenRequest gives them: JWTs (ES256) that prove to the
// control plane whom a workload runs as. Model-thread only. Tokens never reach a log.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/identity/key.h"

namespace meltemi::citadel {

inline constexpr std::string_view kTokenAudience = "istio-ca";
inline constexpr Duration kTokenLifetime = std::chrono::hours(1);
inline constexpr Duration kTokenLifetimeMin = std::chrono::minutes(10);  // Kubernetes' minimum
inline constexpr Duration kTokenLifetimeMax = std::chrono::hours(24);
inline constexpr size_t kAudiencesMax = 16;

struct TokenSpec {
  std::string ns;
  std::string service_account;
  std::string service_account_uid = {};  // "" = left out
  std::string pod = {};                  // "" = bound to none
  std::string pod_uid = {};
  std::vector<std::string> audiences = {};  // empty = istio-ca
  Duration lifetime = {};                   // zero = the default; held between min and max
};

struct IssuedToken {
  std::string token;
  WallTime expires;
  std::vector<std::string> audiences;
};

struct TokenIdentity {
  std::string ns;
  std::string service_account;
  std::string service_account_uid = {};  // "" when the token was issued without
};

class TokenIssuer final {
 public:
  // The key is kept in `key_path` (mode 0600; made when missing); "" = in memory only.
  static StatusOr<std::unique_ptr<TokenIssuer>> Open(const std::string& key_path,
                                                     const Clock& clock = RealClock());

  StatusOr<IssuedToken> Issue(const TokenSpec& spec) const;
  // Unauthenticated, with the reason, unless this issuer signed it for `audience` and it holds now.
  StatusOr<TokenIdentity> Verify(std::string_view token, std::string_view audience) const;

 private:
  TokenIssuer(identity::PrivateKey key, const Clock& clock) : key_(std::move(key)), clock_(clock) {}

  const identity::PrivateKey key_;
  const Clock& clock_;
};

}  // namespace meltemi::citadel
