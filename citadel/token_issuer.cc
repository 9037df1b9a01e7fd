// SPDX-License-Identifier: Apache-2.0
#include "citadel/token_issuer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "citadel/files.h"
#include "lib/identity/jwt.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::citadel {
namespace {

using nlohmann::json;

constexpr std::string_view kIssuer = "https://meltemid.istio-system.svc";
constexpr int64_t kLeewaySeconds = 60;  // clocks differ; only for "not before"

int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Status Refused(std::string_view why) {
  return absl::UnauthenticatedError(fmt::format("token {}", why));
}

// Absent or of another type = the least value, which no check accepts as later than now.
int64_t Number(const json& claims, const char* name, int64_t otherwise) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number_integer()) return otherwise;
  return found->get<int64_t>();
}

std::string Text(const json& claims, const char* name) {
  const auto found = claims.find(name);
  return found != claims.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string AccountUid(const json& claims) {
  const json* at = &claims;
  for (const char* name : {"kubernetes.io", "serviceaccount"}) {
    const auto found = at->find(name);
    if (found == at->end() || !found->is_object()) return "";
    at = &*found;
  }
  return Text(*at, "uid");
}

bool IsFor(const json& claims, std::string_view audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return found->get_ref<const std::string&>() == audience;
  if (!found->is_array()) return false;
  return std::any_of(found->begin(), found->end(), [&](const json& one) {
    return one.is_string() && one.get_ref<const std::string&>() == audience;
  });
}

json KubernetesClaims(const TokenSpec& spec) {
  json account = {{"name", spec.service_account}};
  if (!spec.service_account_uid.empty()) account["uid"] = spec.service_account_uid;
  json claims = {{"namespace", spec.ns}, {"serviceaccount", std::move(account)}};
  if (!spec.pod.empty()) {
    claims["pod"] = {{"name", spec.pod}};
    if (!spec.pod_uid.empty()) claims["pod"]["uid"] = spec.pod_uid;
  }
  return claims;
}

}  // namespace

StatusOr<std::unique_ptr<TokenIssuer>> TokenIssuer::Open(const std::string& key_path,
                                                         const Clock& clock) {
  const auto make = [&](identity::PrivateKey key) {
    return std::unique_ptr<TokenIssuer>(new TokenIssuer(std::move(key), clock));
  };
  if (!key_path.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(const auto text, ReadSmallFile(key_path));
    if (text.has_value()) {
      auto key = identity::PrivateKey::FromPem(*text);
      if (!key.ok()) return WithContext(key.status(), key_path);
      return make(*std::move(key));
    }
  }
  MELTEMI_ASSIGN_OR_RETURN(identity::PrivateKey key, identity::PrivateKey::Generate());
  if (!key_path.empty()) MELTEMI_RETURN_IF_ERROR(WriteSmallFile(key_path, key.ToPem(), 0600));
  return make(std::move(key));
}

StatusOr<IssuedToken> TokenIssuer::Issue(const TokenSpec& spec) const {
  if (!identity::IsIdentityPart(spec.ns) || !identity::IsIdentityPart(spec.service_account)) {
    return absl::InvalidArgumentError(
        "a token needs a namespace and a service account of letters, digits, '-' and '.'");
  }
  if (spec.audiences.size() > kAudiencesMax) {
    return absl::InvalidArgumentError(fmt::format("spec.audiences: more than {}", kAudiencesMax));
  }
  IssuedToken issued;
  issued.audiences = spec.audiences;
  if (issued.audiences.empty()) issued.audiences = {std::string(kTokenAudience)};
  const Duration asked = spec.lifetime > Duration::zero() ? spec.lifetime : kTokenLifetime;
  const Duration lifetime = std::clamp(asked, kTokenLifetimeMin, kTokenLifetimeMax);
  const WallTime now = clock_.Wall();
  issued.expires = now + std::chrono::duration_cast<WallTime::duration>(lifetime);
  const json claims = {
      {"iss", kIssuer},
      {"sub", fmt::format("system:serviceaccount:{}:{}", spec.ns, spec.service_account)},
      {"aud", issued.audiences},
      {"iat", Seconds(now)},
      {"nbf", Seconds(now)},
      {"exp", Seconds(issued.expires)},
      {"kubernetes.io", KubernetesClaims(spec)}};
  MELTEMI_ASSIGN_OR_RETURN(issued.token, identity::SignJwt(key_, claims));
  return issued;
}

StatusOr<TokenIdentity> TokenIssuer::Verify(std::string_view token,
                                            std::string_view audience) const {
  MELTEMI_ASSIGN_OR_RETURN(const json claims, identity::VerifyJwt(key_.public_key(), token));
  const int64_t now = Seconds(clock_.Wall());
  if (Text(claims, "iss") != kIssuer) return Refused("is of another issuer");
  if (Number(claims, "exp", INT64_MIN) <= now) return Refused("has expired");
  if (Number(claims, "nbf", INT64_MAX) > now + kLeewaySeconds) return Refused("is not valid yet");
  if (!IsFor(claims, audience)) {
    return Refused(fmt::format("is not meant for the audience \"{}\"", audience));
  }
  auto id = identity::SpiffeId::FromSubject("unused", Text(claims, "sub"));
  if (!id.ok()) return Refused("is not of a service account");
  return TokenIdentity{std::move(id->ns), std::move(id->service_account), AccountUid(claims)};
}

}  // namespace meltemi::citadel
