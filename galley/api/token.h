// SPDX-License-Identifier: Apache-2.0
// TokenRequest of a ServiceAccount (authentication.k8s.io/v1). Who signs is given from outside.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "galley/api/routes.h"
#include "lib/base/clock.h"
#include "lib/config/store.h"
#include "lib/http/service.h"

namespace meltemi::galley {

inline constexpr size_t kAudiencesMax = 16;

struct ServiceAccountToken {
  std::string token;
  WallTime expires{};
};

using TokenIssuer = std::function<StatusOr<ServiceAccountToken>(
    const std::string& ns, const std::string& name, const std::string& uid,
    const std::vector<std::string>& audiences, Duration expiration)>;

// True when the account is there and, unless `uid` is "", is the one that had this uid.
bool IsAccountPresent(const config::Store& store, const std::string& ns, const std::string& name,
                      const std::string& uid);

// Each namespace has a ServiceAccount `default`, whether or not it is stored; its uid is then made
// of the namespace's. Requires: a route to kToken.
http::ServiceResponse RequestToken(const Route& route, const http::ServiceRequest& request,
                                   const config::Store& store, const TokenIssuer& issuer);

}  // namespace meltemi::galley
