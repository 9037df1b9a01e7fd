// SPDX-License-Identifier: Apache-2.0
#include "galley/api/token.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "galley/api/errors.h"
#include "galley/api/json_fields.h"
#include "galley/api/request_body.h"
#include "galley/store/uid.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

constexpr std::string_view kDefaultAccount = "default";
constexpr size_t kBodyBytesMax = 64 * 1024;
// Kubernetes' default and bounds.
constexpr auto kExpirationDefault = std::chrono::seconds(3600);
constexpr auto kExpirationMin = std::chrono::seconds(600);
constexpr int64_t kExpirationSecondsMax = int64_t{1} << 32;

std::string DefaultUid(const config::Object& ns) {
  return StableUid(ns.meta.uid + "/default");
}

StatusOr<std::string> UidOf(const Route& route, const config::Store& store) {
  const auto account = store.Get({&config::kinds::kServiceAccount, route.ns, route.name});
  if (account != nullptr) return account->meta.uid;
  const auto place = store.Get({&config::kinds::kNamespace, "", route.ns});
  if (place == nullptr) {
    return absl::NotFoundError(fmt::format("namespaces \"{}\" not found", route.ns));
  }
  if (route.name == kDefaultAccount) return DefaultUid(*place);
  return absl::NotFoundError(fmt::format("serviceaccounts \"{}\" not found", route.name));
}

StatusOr<std::vector<std::string>> AudiencesOf(const json& spec) {
  std::vector<std::string> audiences;
  const auto given = spec.find("audiences");
  if (given == spec.end() || given->is_null()) return audiences;
  const Status refused = absl::InvalidArgumentError(
      fmt::format("spec.audiences: must be a list of at most {} texts", kAudiencesMax));
  if (!given->is_array() || given->size() > kAudiencesMax) return refused;
  for (const json& audience : *given) {
    if (!audience.is_string()) return refused;
    audiences.push_back(audience.get<std::string>());
  }
  return audiences;
}

StatusOr<std::chrono::seconds> ExpirationOf(const json& spec) {
  const auto given = spec.find("expirationSeconds");
  if (given == spec.end() || given->is_null()) return kExpirationDefault;
  if (!given->is_number_integer() || given->get<int64_t>() < kExpirationMin.count() ||
      given->get<int64_t>() > kExpirationSecondsMax) {
    return absl::InvalidArgumentError(
        fmt::format("spec.expirationSeconds: must be a number from {} to {}",
                    kExpirationMin.count(), kExpirationSecondsMax));
  }
  return std::chrono::seconds(given->get<int64_t>());
}

StatusOr<json> Issue(const Route& route, const http::ServiceRequest& request,
                     const config::Store& store, const TokenIssuer& issuer) {
  if (request.method != "POST") return absl::UnimplementedError("tokens are asked for with POST");
  if (!issuer) return absl::FailedPreconditionError("this meltemid issues no tokens");
  json body = json::object();
  if (!request.body.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(body, ReadBody(request, kBodyBytesMax));
  }
  json spec = ObjectAt(body, "spec");
  MELTEMI_ASSIGN_OR_RETURN(const std::string uid, UidOf(route, store));
  MELTEMI_ASSIGN_OR_RETURN(const auto audiences, AudiencesOf(spec));
  MELTEMI_ASSIGN_OR_RETURN(const std::chrono::seconds expiration, ExpirationOf(spec));
  MELTEMI_ASSIGN_OR_RETURN(const ServiceAccountToken token,
                           issuer(route.ns, route.name, uid, audiences, expiration));
  spec["audiences"] = audiences;
  spec["expirationSeconds"] = expiration.count();
  return json{{"kind", "TokenRequest"},
              {"apiVersion", "authentication.k8s.io/v1"},
              {"metadata", {{"name", route.name}, {"namespace", route.ns}}},
              {"spec", std::move(spec)},
              {"status",
               {{"token", token.token}, {"expirationTimestamp", config::TimeText(token.expires)}}}};
}

}  // namespace

bool IsAccountPresent(const config::Store& store, const std::string& ns, const std::string& name,
                      const std::string& uid) {
  const auto account = store.Get({&config::kinds::kServiceAccount, ns, name});
  if (account != nullptr && (uid.empty() || account->meta.uid == uid)) return true;
  if (name != kDefaultAccount) return false;
  // Storing a `default` takes nothing from those that had the implied one.
  const auto place = store.Get({&config::kinds::kNamespace, "", ns});
  return place != nullptr && (uid.empty() || DefaultUid(*place) == uid);
}

http::ServiceResponse RequestToken(const Route& route, const http::ServiceRequest& request,
                                   const config::Store& store, const TokenIssuer& issuer) {
  const auto answer = Issue(route, request, store, issuer);
  if (answer.ok()) return JsonResponse(201, *answer);
  return ErrorResponse(answer.status(), {.kind = route.kind, .name = route.name});
}

}  // namespace meltemi::galley
