// SPDX-License-Identifier: Apache-2.0
// envoy.filters.http.cors: answers preflights for origins the route allows, and tells browsers
// which responses they may show. Inert on routes without a policy.
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "lib/routing/string_match.h"
#include "proxy/filters/registry.h"
#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

constexpr std::string_view kName = "envoy.filters.http.cors";
constexpr uint64_t kEnabledSalt = 201;

struct CorsPolicy {
  std::vector<routing::StringMatch> origins;
  std::string methods, headers, expose, max_age;
  bool allows_credentials = false;
  bool allows_private_network = false;
  bool forwards_unknown_preflights = true;
  routing::Fraction enabled;
};

bool AllowsOrigin(const CorsPolicy& policy, std::string_view origin) {
  for (const routing::StringMatch& match : policy.origins) {
    if (match.Matches(origin) || match.text() == "*") return true;
  }
  return false;
}

class CorsFilter final : public HttpFilter {
 public:
  uint8_t hooks() const override { return kRequest | kResponse; }

  Verdict OnRequest(FilterStream& stream) const override {
    const CorsPolicy* policy = PolicyOf(stream);
    if (policy == nullptr) return Verdict::kContinue;
    StreamInfo& info = stream.info();
    const http::RequestHead& head = *info.request;
    const std::string_view* origin = head.headers.Find(HeaderId::kOrigin);
    if (origin == nullptr) return Verdict::kContinue;
    const bool is_allowed = AllowsOrigin(*policy, *origin);
    if (is_allowed) info.cors_origin = *origin;
    const bool is_preflight =
        head.method == "OPTIONS" && head.headers.Find("access-control-request-method") != nullptr;
    if (!is_preflight) return Verdict::kContinue;
    if (!is_allowed && policy->forwards_unknown_preflights) return Verdict::kContinue;
    info.is_cors_preflight = true;
    stream.Reply({200, "", "cors_response", -1});
    return Verdict::kAnswered;
  }

  void OnResponse(FilterStream& stream) const override {
    const StreamInfo& info = stream.info();
    if (info.cors_origin.empty()) return;
    const CorsPolicy* policy = PolicyOf(stream);
    if (policy == nullptr) return;
    http::HeaderMap& headers = info.response->headers;
    headers.Set("access-control-allow-origin", info.cors_origin);
    if (policy->allows_credentials) headers.Set("access-control-allow-credentials", "true");
    if (!info.is_cors_preflight) {
      if (!policy->expose.empty()) headers.Set("access-control-expose-headers", policy->expose);
      return;
    }
    if (!policy->methods.empty()) headers.Set("access-control-allow-methods", policy->methods);
    if (!policy->headers.empty()) headers.Set("access-control-allow-headers", policy->headers);
    if (!policy->max_age.empty()) headers.Set("access-control-max-age", policy->max_age);
    constexpr std::string_view kAsked = "access-control-request-private-network";
    const std::string_view* asked = info.request->headers.Find(kAsked);
    if (policy->allows_private_network && asked != nullptr && *asked == "true") {
      headers.Set("access-control-allow-private-network", "true");
    }
  }

 private:
  static const CorsPolicy* PolicyOf(FilterStream& stream) {
    const auto* policy = static_cast<const CorsPolicy*>(stream.Override(kName));
    if (policy == nullptr) return nullptr;
    const uint64_t random = routing::Mix(stream.info().random, kEnabledSalt);
    return policy->enabled.Selects(random) ? policy : nullptr;
  }
};

StatusOr<std::shared_ptr<const HttpFilter>> Create(std::string_view, const FilterContext&) {
  return std::make_shared<const CorsFilter>();
}

StatusOr<std::shared_ptr<const void>> CreateOverride(std::string_view serialized) {
  envoy::extensions::filters::http::cors::v3::CorsPolicy from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a CorsPolicy message");
  }
  CorsPolicy to;
  for (const auto& origin : from.allow_origin_string_match()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::StringMatch match, CompileStringMatch(origin));
    to.origins.push_back(std::move(match));
  }
  to.methods = from.allow_methods();
  to.headers = from.allow_headers();
  to.expose = from.expose_headers();
  to.max_age = from.max_age();
  to.allows_credentials = from.allow_credentials().value();
  to.allows_private_network = from.allow_private_network_access().value();
  to.forwards_unknown_preflights =
      !from.has_forward_not_matching_preflights() || from.forward_not_matching_preflights().value();
  if (from.has_filter_enabled()) {
    MELTEMI_ASSIGN_OR_RETURN(to.enabled, CompileFraction(from.filter_enabled().default_value()));
  }
  return std::make_shared<const CorsPolicy>(std::move(to));
}

}  // namespace

extern const FilterKind kCorsFilter;
const FilterKind kCorsFilter = {
    kName,
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    Create,
    CreateOverride,
};

}  // namespace meltemi::proxy
