// SPDX-License-Identifier: Apache-2.0
// What is done with requests of a route.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/http/route_compiler_parts.h"

namespace meltemi::proxy {

namespace envoy_route = envoy::config::route::v3;
using routing::HeaderAddition;
using routing::HeaderPredicate;

namespace {

StatusOr<routing::RegexRewrite> CompileRewrite(
    const envoy::type::matcher::v3::RegexMatchAndSubstitute& from) {
  routing::RegexRewrite to;
  MELTEMI_ASSIGN_OR_RETURN(to.regex, routing::CompileRegex(from.pattern().regex()));
  to.substitution = from.substitution();
  std::string error;
  if (!to.regex->CheckRewriteString(to.substitution, &error)) {
    return absl::InvalidArgumentError(
        fmt::format("substitution \"{}\": {}", to.substitution, error));
  }
  return to;
}

Status CompileRewrites(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
  if (from.has_path_rewrite_policy() || !from.path_rewrite().empty() ||
      !from.host_rewrite().empty()) {
    return absl::InvalidArgumentError(
        "route: use prefix_rewrite, regex_rewrite and host_rewrite_literal for rewrites");
  }
  to.prefix_rewrite = from.prefix_rewrite();
  if (from.has_regex_rewrite()) {
    MELTEMI_ASSIGN_OR_RETURN(to.regex_rewrite, CompileRewrite(from.regex_rewrite()));
  }
  to.appends_forwarded_host = from.append_x_forwarded_host();
  to.host_rewrite = from.host_rewrite_literal();
  to.is_host_rewritten_to_upstream = from.auto_host_rewrite().value();
  if (!from.host_rewrite_header().empty()) {
    to.host_rewrite_header = routing::HeaderRef::Of(from.host_rewrite_header());
  }
  if (from.has_host_rewrite_path_regex()) {
    MELTEMI_ASSIGN_OR_RETURN(to.host_rewrite_path, CompileRewrite(from.host_rewrite_path_regex()));
  }
  return absl::OkStatus();
}

void CompileTimeouts(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
  if (from.has_timeout()) to.timeout = ToDuration(from.timeout());
  if (from.has_idle_timeout()) to.idle_timeout = ToDuration(from.idle_timeout());
  if (from.has_max_grpc_timeout()) to.grpc_timeout_max = ToDuration(from.max_grpc_timeout());
  to.grpc_timeout_offset = ToDuration(from.grpc_timeout_offset());
  if (!from.has_max_stream_duration()) return;
  to.has_stream_duration = true;
  const auto& duration = from.max_stream_duration();
  if (duration.has_max_stream_duration()) {
    to.stream_duration_max = ToDuration(duration.max_stream_duration());
  }
  if (duration.has_grpc_timeout_header_max()) {
    to.grpc_duration_max = ToDuration(duration.grpc_timeout_header_max());
  }
  to.grpc_duration_offset = ToDuration(duration.grpc_timeout_header_offset());
}

StatusOr<std::shared_ptr<const routing::RetryPolicy>> CompileRetry(
    const envoy_route::RetryPolicy& from) {
  if (from.has_retry_priority() || from.has_rate_limited_retry_back_off() ||
      from.retry_options_predicates_size() > 0) {
    return absl::InvalidArgumentError(
        "retry_policy: retry_priority, rate_limited_retry_back_off and retry_options_predicates "
        "are "
        "not supported");
  }
  MELTEMI_ASSIGN_OR_RETURN(routing::RetryPolicy to, routing::ParseRetryOn(from.retry_on()));
  if (from.has_num_retries()) to.retries_max = from.num_retries().value();
  to.per_try_timeout = ToDuration(from.per_try_timeout());
  to.per_try_idle_timeout = ToDuration(from.per_try_idle_timeout());
  for (const auto& predicate : from.retry_host_predicate()) {
    constexpr std::string_view kPrevious = "previous_hosts";
    if (predicate.typed_config().type_url().find(kPrevious) == std::string::npos &&
        predicate.name().find(kPrevious) == std::string::npos) {
      return absl::InvalidArgumentError(fmt::format(
          "retry_host_predicate \"{}\" is not supported, previous_hosts is", predicate.name()));
    }
    to.avoids_previous_hosts = true;
  }
  if (from.host_selection_retry_max_attempts() > 0) {
    to.host_attempts_max = static_cast<uint32_t>(from.host_selection_retry_max_attempts());
  }
  for (const uint32_t code : from.retriable_status_codes()) {
    to.retriable_status_codes.push_back(static_cast<int>(code));
  }
  for (const auto& header : from.retriable_headers()) {
    MELTEMI_ASSIGN_OR_RETURN(HeaderPredicate predicate, CompileHeaderMatch(header));
    to.retriable_headers.push_back(std::move(predicate));
  }
  for (const auto& header : from.retriable_request_headers()) {
    MELTEMI_ASSIGN_OR_RETURN(HeaderPredicate predicate, CompileHeaderMatch(header));
    to.retriable_request_headers.push_back(std::move(predicate));
  }
  if (from.has_retry_back_off()) {
    to.backoff_base = ToDuration(from.retry_back_off().base_interval());
    to.backoff_max = from.retry_back_off().has_max_interval()
                         ? ToDuration(from.retry_back_off().max_interval())
                         : to.backoff_base * 10;
  }
  return std::make_shared<const routing::RetryPolicy>(std::move(to));
}

StatusOr<routing::HashPolicy> CompileHash(const envoy_route::RouteAction::HashPolicy& from) {
  routing::HashPolicy to;
  to.is_terminal = from.terminal();
  switch (from.policy_specifier_case()) {
    case envoy_route::RouteAction::HashPolicy::kHeader:
      if (from.header().has_regex_rewrite()) {
        return absl::InvalidArgumentError("hash_policy: header.regex_rewrite is not supported");
      }
      to.kind = routing::HashPolicy::Kind::kHeader;
      to.header = routing::HeaderRef::Of(from.header().header_name());
      return to;
    case envoy_route::RouteAction::HashPolicy::kCookie:
      to.kind = routing::HashPolicy::Kind::kCookie;
      to.name = from.cookie().name();
      to.cookie_path = from.cookie().path();
      if (from.cookie().has_ttl()) to.cookie_ttl = ToDuration(from.cookie().ttl());
      for (const auto& attribute : from.cookie().attributes()) {
        to.cookie_attributes.emplace_back(attribute.name(), attribute.value());
      }
      return to;
    case envoy_route::RouteAction::HashPolicy::kConnectionProperties:
      to.kind = routing::HashPolicy::Kind::kSourceIp;
      return to;
    case envoy_route::RouteAction::HashPolicy::kQueryParameter:
      to.kind = routing::HashPolicy::Kind::kQueryParameter;
      to.name = from.query_parameter().name();
      return to;
    default:
      return absl::InvalidArgumentError(
          "hash_policy: only header, cookie, connection_properties and query_parameter are "
          "supported");
  }
}

}  // namespace

StatusOr<routing::WeightedCluster> ActionCompiler::Weighted(
    const envoy_route::WeightedCluster::ClusterWeight& from) {
  if (!from.cluster_header().empty()) {
    return absl::InvalidArgumentError("weighted_clusters: cluster_header is not supported");
  }
  routing::WeightedCluster to;
  to.cluster = TargetOf(from.name());
  to.weight = from.weight().value();
  to.host_rewrite = from.host_rewrite_literal();
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, to));
  MELTEMI_ASSIGN_OR_RETURN(to.overrides, CompileOverrides(from.typed_per_filter_config()));
  return to;
}

Status ActionCompiler::Target(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
  switch (from.cluster_specifier_case()) {
    case envoy_route::RouteAction::kCluster:
      to.cluster = TargetOf(from.cluster());
      return absl::OkStatus();
    case envoy_route::RouteAction::kClusterHeader:
      to.cluster_header = routing::HeaderRef::Of(from.cluster_header());
      return absl::OkStatus();
    case envoy_route::RouteAction::kWeightedClusters:
      for (const auto& entry : from.weighted_clusters().clusters()) {
        MELTEMI_ASSIGN_OR_RETURN(routing::WeightedCluster weighted, Weighted(entry));
        to.total_weight += weighted.weight;
        to.weighted.push_back(std::move(weighted));
      }
      if (to.total_weight == 0) {
        return absl::InvalidArgumentError("weighted_clusters: the weights sum up to 0");
      }
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          "route: only cluster, cluster_header and weighted_clusters are supported");
  }
}

StatusOr<routing::Mirror> ActionCompiler::OneMirror(
    const envoy_route::RouteAction::RequestMirrorPolicy& from) {
  if (from.cluster().empty()) {
    return absl::InvalidArgumentError("request_mirror_policies: a cluster is required");
  }
  routing::Mirror to;
  to.cluster = TargetOf(from.cluster());
  to.appends_shadow_suffix = !from.disable_shadow_host_suffix_append();
  if (from.has_runtime_fraction()) {
    MELTEMI_ASSIGN_OR_RETURN(to.fraction, CompileFraction(from.runtime_fraction().default_value()));
  }
  for (const auto& mutation : from.request_headers_mutations()) {
    if (!mutation.remove().empty()) {
      to.request.remove.push_back(routing::HeaderRef::Of(mutation.remove()));
    } else {
      MELTEMI_ASSIGN_OR_RETURN(HeaderAddition addition, CompileAddition(mutation.append()));
      to.request.add.push_back(std::move(addition));
    }
  }
  return to;
}

StatusOr<routing::ForwardAction> ActionCompiler::Forward(const envoy_route::RouteAction& from,
                                                         const envoy_route::VirtualHost& host) {
  routing::ForwardAction to;
  MELTEMI_RETURN_IF_ERROR(Target(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileRewrites(from, to));
  CompileTimeouts(from, to);
  using Code = envoy_route::RouteAction;
  if (from.cluster_not_found_response_code() == Code::NOT_FOUND) to.cluster_not_found_status = 404;
  if (from.cluster_not_found_response_code() == Code::INTERNAL_SERVER_ERROR) {
    to.cluster_not_found_status = 500;
  }
  if (from.has_retry_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(to.retry, CompileRetry(from.retry_policy()));
  } else if (host.has_retry_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(to.retry, CompileRetry(host.retry_policy()));
  }
  if (from.has_internal_redirect_policy() || from.has_hedge_policy()) {
    return absl::InvalidArgumentError(
        "route: internal_redirect_policy and hedge_policy are not supported");
  }
  for (const auto& policy : from.hash_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::HashPolicy hash, CompileHash(policy));
    to.hash.push_back(std::move(hash));
  }
  to.mirrors = common_mirrors_;
  if (from.request_mirror_policies_size() > 0) to.mirrors.clear();
  for (const auto& policy : from.request_mirror_policies()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::Mirror mirror, OneMirror(policy));
    to.mirrors.push_back(std::move(mirror));
  }
  MELTEMI_RETURN_IF_ERROR(Upgrades(from, to));
  const auto& subset = from.metadata_match().filter_metadata();
  if (const auto it = subset.find("envoy.lb"); it != subset.end()) {
    for (const auto& [key, value] : it->second.fields()) {
      to.subset.emplace_back(key, value.string_value());
    }
    std::sort(to.subset.begin(), to.subset.end());
  }
  return to;
}

Status ActionCompiler::Upgrades(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
  for (const auto& upgrade : from.upgrade_configs()) {
    const std::string type = routing::LowerCase(upgrade.upgrade_type());
    const bool is_enabled = !upgrade.has_enabled() || upgrade.enabled().value();
    if (upgrade.has_connect_config()) {
      const auto& connect = upgrade.connect_config();
      if (type != "connect" || connect.has_proxy_protocol_config() || connect.allow_post()) {
        return absl::InvalidArgumentError(
            "upgrade_configs: connect_config is supported for CONNECT, without "
            "proxy_protocol_config and allow_post");
      }
      to.terminates_connect = is_enabled;
    }
    to.upgrades.emplace_back(type, is_enabled);
  }
  return absl::OkStatus();
}

StatusOr<routing::RedirectAction> ActionCompiler::Redirect(
    const envoy_route::RedirectAction& from) {
  routing::RedirectAction to;
  constexpr int kStatus[] = {301, 302, 303, 307, 308};
  if (from.response_code() < 0 || from.response_code() > 4) {
    return absl::InvalidArgumentError("redirect: unknown response_code");
  }
  to.status = kStatus[from.response_code()];
  to.scheme = from.https_redirect() ? "https" : from.scheme_redirect();
  to.host = from.host_redirect();
  to.port = from.port_redirect();
  to.path = from.path_redirect();
  to.strips_query = from.strip_query();
  if (from.path_rewrite_specifier_case() == envoy_route::RedirectAction::kPrefixRewrite) {
    to.has_prefix_rewrite = true;
    to.prefix_rewrite = from.prefix_rewrite();
  }
  if (from.has_regex_rewrite()) {
    MELTEMI_ASSIGN_OR_RETURN(to.regex_rewrite, CompileRewrite(from.regex_rewrite()));
  }
  return to;
}

StatusOr<routing::DirectResponse> ActionCompiler::Direct(
    const envoy_route::DirectResponseAction& from) {
  routing::DirectResponse to;
  to.status = static_cast<int>(from.status());
  if (to.status < 200 || to.status > 599) {
    return absl::InvalidArgumentError(
        fmt::format("direct_response: status {} is not in 200..599", from.status()));
  }
  const auto& body = from.body();
  if (body.has_filename() || body.has_environment_variable() || from.has_body_format()) {
    return absl::InvalidArgumentError("direct_response: the body must be inline");
  }
  to.body = body.has_inline_bytes() ? body.inline_bytes() : body.inline_string();
  if (to.body.size() > direct_body_bytes_max_) {
    return absl::InvalidArgumentError(fmt::format("direct_response: a body of {} bytes, {} allowed",
                                                  to.body.size(), direct_body_bytes_max_));
  }
  return to;
}

}  // namespace meltemi::proxy
