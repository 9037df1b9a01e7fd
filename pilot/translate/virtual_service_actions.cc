// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/virtual_service_actions.h"

#include <fmt/format.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "lib/config/grpc_codes.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/virtual_service_matches.h"

namespace meltemi::pilot {
namespace {

namespace v1 = istio::networking::v1;
namespace v3 = envoy::config::route::v3;
using envoy::type::v3::FractionalPercent;

constexpr std::string_view kRetryOn =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
constexpr std::string_view kRetriableStatusCodes = "retriable-status-codes";
constexpr uint32_t kDefaultRetries = 2;
constexpr int kHostAttemptsMax = 5;
// How many tries a priority gets before the next one counts (Istio).
constexpr int kPriorityUpdateFrequency = 2;

void AvoidPreviousHosts(v3::RetryPolicy& to) {
  // The same for every route of the mesh, hence encoded once.
  static const google::protobuf::Any kConfig = [] {
    google::protobuf::Any any;
    Pack(envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate(), any);
    return any;
  }();
  auto& predicate = *to.add_retry_host_predicate();
  predicate.set_name("envoy.retry_host_predicates.previous_hosts");
  *predicate.mutable_typed_config() = kConfig;
}

void SetRetryPriority(v3::RetryPolicy& to) {
  // The message's only field, update_frequency = 1, is an int32 as that of Int32Value: its code
  // need not be generated for it.
  google::protobuf::Int32Value config;
  config.set_value(kPriorityUpdateFrequency);
  to.mutable_retry_priority()->set_name("envoy.retry_priorities.previous_priorities");
  Pack(config, "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
       *to.mutable_retry_priority()->mutable_typed_config());
}

// "5xx,503" → "5xx,retriable-status-codes" and the code 503.
void SetRetryOn(std::string_view from, v3::RetryPolicy& to) {
  std::string conditions;
  bool has_codes_condition = false;
  while (!from.empty()) {
    const size_t comma = from.find(',');
    std::string_view word = from.substr(0, comma);
    from.remove_prefix(comma == std::string_view::npos ? from.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (word.empty()) continue;
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), code);
    if (error == std::errc() && end == word.data() + word.size()) {
      to.add_retriable_status_codes(code);
      continue;
    }
    has_codes_condition = has_codes_condition || word == kRetriableStatusCodes;
    if (!conditions.empty()) conditions += ',';
    conditions += word;
  }
  if (to.retriable_status_codes_size() > 0 && !has_codes_condition) {
    if (!conditions.empty()) conditions += ',';
    conditions += kRetriableStatusCodes;
  }
  to.set_retry_on(std::move(conditions));
}

template <typename Fault>
void SetShare(const Fault& from, FractionalPercent& to) {
  if (from.has_percentage()) {
    SetPercent(from.percentage().value(), to);
  } else {
    to.set_numerator(static_cast<uint32_t>(std::max(from.percent(), 0)));
  }
}

// True when there is something to inject.
bool SetAbort(const v1::HTTPFaultInjection::Abort& from,
              envoy::extensions::filters::http::fault::v3::FaultAbort& to) {
  using Abort = v1::HTTPFaultInjection::Abort;
  if (from.error_type_case() == Abort::kHttpStatus) {
    to.set_http_status(static_cast<uint32_t>(from.http_status()));
  } else if (from.error_type_case() == Abort::kGrpcStatus) {
    const std::optional<int> code = config::GrpcCode(from.grpc_status());
    if (!code.has_value()) return false;
    to.set_grpc_status(static_cast<uint32_t>(*code));
  } else {
    return false;
  }
  SetShare(from, *to.mutable_percentage());
  return true;
}

template <typename Words>
std::string Joined(const Words& words) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += ',';
    joined += word;
  }
  return joined;
}

void SetRedirectPort(const v1::HTTPRedirect& from, uint32_t port, bool is_tls,
                     v3::RedirectAction& to) {
  uint32_t redirect_port = from.port();
  if (from.redirect_port_case() == v1::HTTPRedirect::kDerivePort &&
      from.derive_port() == v1::HTTPRedirect::FROM_REQUEST_PORT) {
    redirect_port = port;
  }
  const std::string_view scheme =
      !from.scheme().empty() ? std::string_view(from.scheme()) : (is_tls ? "https" : "http");
  // A scheme's own port goes without saying.
  if ((redirect_port == 80 && scheme == "http") || (redirect_port == 443 && scheme == "https")) {
    return;
  }
  if (redirect_port != 0) to.set_port_redirect(redirect_port);
}

}  // namespace

void SetPercent(double percent, FractionalPercent& to) {
  to.set_numerator(static_cast<uint32_t>(std::lround(percent * 10'000)));
  to.set_denominator(FractionalPercent::MILLION);
}

// Deprecated by Envoy, and what Istio sends.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void SetTimeout(const google::protobuf::Duration& timeout, v3::RouteAction& to) {
  *to.mutable_timeout() = timeout;
  *to.mutable_max_grpc_timeout() = timeout;
}
#pragma GCC diagnostic pop

void SetDefaultRetries(v3::RetryPolicy& to) {
  to.set_retry_on(std::string(kRetryOn));
  to.mutable_num_retries()->set_value(kDefaultRetries);
  to.set_host_selection_retry_max_attempts(kHostAttemptsMax);
  AvoidPreviousHosts(to);
}

void SetRetries(const v1::HTTPRoute& route, const ProxyFacts& proxy, bool is_hashed,
                v3::RouteAction& action) {
  if (route.has_retries() && route.retries().attempts() <= 0) return;
  v3::RetryPolicy& to = *action.mutable_retry_policy();
  SetDefaultRetries(to);
  const v1::HTTPRetry& from = route.retries();
  const bool may_repeat =
      from.has_retry_ignore_previous_hosts() && !from.retry_ignore_previous_hosts().value();
  if (is_hashed || may_repeat) to.clear_retry_host_predicate();
  if (!route.has_retries()) return;
  to.mutable_num_retries()->set_value(static_cast<uint32_t>(from.attempts()));
  if (!from.retry_on().empty()) SetRetryOn(from.retry_on(), to);
  if (from.has_per_try_timeout()) *to.mutable_per_try_timeout() = from.per_try_timeout();
  if (from.has_backoff()) *to.mutable_retry_back_off()->mutable_base_interval() = from.backoff();
  // Our proxy has no such extension and would refuse it: there, endpoints of other priorities are
  // only tried once those of the first are unhealthy.
  if (from.retry_remote_localities().value() && !proxy.is_meltemi) SetRetryPriority(to);
}

bool SetRedirect(const v1::HTTPRedirect& from, uint32_t port, bool is_tls, v3::RedirectAction& to) {
  switch (from.redirect_code()) {
    case 0:
    case 301:
      break;
    case 302:
      to.set_response_code(v3::RedirectAction::FOUND);
      break;
    case 303:
      to.set_response_code(v3::RedirectAction::SEE_OTHER);
      break;
    case 307:
      to.set_response_code(v3::RedirectAction::TEMPORARY_REDIRECT);
      break;
    case 308:
      to.set_response_code(v3::RedirectAction::PERMANENT_REDIRECT);
      break;
    default:
      return false;
  }
  to.set_host_redirect(from.authority());
  if (from.prefix_rewrite().empty()) {
    to.set_path_redirect(from.uri());
  } else {
    to.set_prefix_rewrite(from.prefix_rewrite());
  }
  if (!from.scheme().empty()) to.set_scheme_redirect(from.scheme());
  SetRedirectPort(from, port, is_tls, to);
  return true;
}

void SetDirectResponse(const v1::HTTPDirectResponse& from, v3::DirectResponseAction& to) {
  to.set_status(from.status());
  if (from.body().specifier_case() == v1::HTTPBody::kString) {
    to.mutable_body()->set_inline_string(from.body().string());
  } else if (from.body().specifier_case() == v1::HTTPBody::kBytes) {
    to.mutable_body()->set_inline_bytes(from.body().bytes());
  }
}

void AddFault(const v1::HTTPFaultInjection& from, v3::Route& to) {
  envoy::extensions::filters::http::fault::v3::HTTPFault fault;
  if (from.delay().has_fixed_delay()) {
    *fault.mutable_delay()->mutable_fixed_delay() = from.delay().fixed_delay();
    SetShare(from.delay(), *fault.mutable_delay()->mutable_percentage());
  }
  if (from.has_abort() && !SetAbort(from.abort(), *fault.mutable_abort())) fault.clear_abort();
  if (!fault.has_delay() && !fault.has_abort()) return;
  Pack(fault, (*to.mutable_typed_per_filter_config())["envoy.filters.http.fault"]);
}

void AddCors(const v1::CorsPolicy& from, v3::Route& to) {
  envoy::extensions::filters::http::cors::v3::CorsPolicy cors;
  for (const v1::StringMatch& origin : from.allow_origins()) {
    SetStringMatch(origin, *cors.add_allow_origin_string_match());
  }
  if (from.allow_origins().empty()) {
    for (const std::string& origin : from.allow_origin()) {
      cors.add_allow_origin_string_match()->set_exact(origin);
    }
  }
  cors.set_allow_methods(Joined(from.allow_methods()));
  cors.set_allow_headers(Joined(from.allow_headers()));
  cors.set_expose_headers(Joined(from.expose_headers()));
  if (from.has_max_age()) cors.set_max_age(fmt::format("{}", from.max_age().seconds()));
  if (from.has_allow_credentials()) {
    cors.mutable_allow_credentials()->set_value(from.allow_credentials().value());
  }
  cors.mutable_filter_enabled()->mutable_default_value()->set_numerator(100);
  cors.mutable_forward_not_matching_preflights()->set_value(from.unmatched_preflights() !=
                                                            v1::CorsPolicy::IGNORE);
  Pack(cors, (*to.mutable_typed_per_filter_config())["envoy.filters.http.cors"]);
}

void AddHashPolicy(const v1::TrafficPolicy& policy, v3::RouteAction& to) {
  using Hash = v1::LoadBalancerSettings::ConsistentHashLB;
  const Hash& hash = policy.load_balancer().consistent_hash();
  switch (hash.hash_key_case()) {
    case Hash::kHttpHeaderName:
      to.add_hash_policy()->mutable_header()->set_header_name(hash.http_header_name());
      break;
    case Hash::kHttpCookie: {
      auto& cookie = *to.add_hash_policy()->mutable_cookie();
      cookie.set_name(hash.http_cookie().name());
      cookie.set_path(hash.http_cookie().path());
      if (hash.http_cookie().has_ttl()) *cookie.mutable_ttl() = hash.http_cookie().ttl();
      for (const auto& attribute : hash.http_cookie().attributes()) {
        auto& copy = *cookie.add_attributes();
        copy.set_name(attribute.name());
        copy.set_value(attribute.value());
      }
      break;
    }
    case Hash::kUseSourceIp:
      to.add_hash_policy()->mutable_connection_properties()->set_source_ip(hash.use_source_ip());
      break;
    case Hash::kHttpQueryParameterName:
      to.add_hash_policy()->mutable_query_parameter()->set_name(hash.http_query_parameter_name());
      break;
    case Hash::HASH_KEY_NOT_SET:
      break;
  }
}

}  // namespace meltemi::pilot
