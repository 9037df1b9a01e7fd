// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/route_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/filters/registry.h"
#include "proxy/http/compile.h"

namespace meltemi::proxy {

namespace envoy_route = envoy::config::route::v3;
namespace envoy_core = envoy::config::core::v3;
using routing::HeaderAddition;
using routing::HeaderPredicate;
using routing::PathMatch;
using routing::StringMatch;

Duration ToDuration(const google::protobuf::Duration& from) {
  return std::chrono::seconds(from.seconds()) + std::chrono::nanoseconds(from.nanos());
}

StatusOr<StringMatch> CompileStringMatch(const envoy::type::matcher::v3::StringMatcher& from) {
  using Kind = StringMatch::Kind;
  const bool ignores_case = from.ignore_case();
  switch (from.match_pattern_case()) {
    case envoy::type::matcher::v3::StringMatcher::kExact:
      return StringMatch::Create(Kind::kExact, from.exact(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kPrefix:
      return StringMatch::Create(Kind::kPrefix, from.prefix(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kSuffix:
      return StringMatch::Create(Kind::kSuffix, from.suffix(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kContains:
      return StringMatch::Create(Kind::kContains, from.contains(), ignores_case);
    case envoy::type::matcher::v3::StringMatcher::kSafeRegex:
      return StringMatch::Create(Kind::kRegex, from.safe_regex().regex());
    default:
      return absl::InvalidArgumentError("a string matcher without a supported pattern");
  }
}

namespace {

// The one-of of HeaderMatcher, with the spellings Envoy keeps for old configurations.
Status CompileHeaderPattern(const envoy_route::HeaderMatcher& from, HeaderPredicate& to) {
  using Kind = StringMatch::Kind;
  const auto text = [&](Kind kind, const std::string& pattern) -> Status {
    auto compiled = StringMatch::Create(kind, pattern);
    if (!compiled.ok()) return compiled.status();
    to.kind = HeaderPredicate::Kind::kText;
    to.text = *std::move(compiled);
    return absl::OkStatus();
  };
  switch (from.header_match_specifier_case()) {
    case envoy_route::HeaderMatcher::kStringMatch: {
      MELTEMI_ASSIGN_OR_RETURN(to.text, CompileStringMatch(from.string_match()));
      to.kind = HeaderPredicate::Kind::kText;
      return absl::OkStatus();
    }
    case envoy_route::HeaderMatcher::kExactMatch:
      return text(Kind::kExact, from.exact_match());
    case envoy_route::HeaderMatcher::kPrefixMatch:
      return text(Kind::kPrefix, from.prefix_match());
    case envoy_route::HeaderMatcher::kSuffixMatch:
      return text(Kind::kSuffix, from.suffix_match());
    case envoy_route::HeaderMatcher::kContainsMatch:
      return text(Kind::kContains, from.contains_match());
    case envoy_route::HeaderMatcher::kSafeRegexMatch:
      return text(Kind::kRegex, from.safe_regex_match().regex());
    case envoy_route::HeaderMatcher::kRangeMatch:
      to.kind = HeaderPredicate::Kind::kRange;
      to.range_start = from.range_match().start();
      to.range_end = from.range_match().end();
      return absl::OkStatus();
    case envoy_route::HeaderMatcher::kPresentMatch:
      to.kind =
          from.present_match() ? HeaderPredicate::Kind::kPresent : HeaderPredicate::Kind::kAbsent;
      return absl::OkStatus();
    case envoy_route::HeaderMatcher::HEADER_MATCH_SPECIFIER_NOT_SET:
      to.kind = HeaderPredicate::Kind::kPresent;
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError("unknown kind of header match");
}

}  // namespace

StatusOr<HeaderPredicate> CompileHeaderMatch(const envoy_route::HeaderMatcher& from) {
  HeaderPredicate to;
  if (from.name().empty()) return absl::InvalidArgumentError("a header match without a name");
  to.header = routing::HeaderRef::Of(from.name());
  to.is_inverted = from.invert_match();
  to.treats_missing_as_empty = from.treat_missing_header_as_empty();
  const Status status = CompileHeaderPattern(from, to);
  if (!status.ok()) return WithContext(status, fmt::format("header \"{}\"", from.name()));
  return to;
}

StatusOr<routing::Fraction> CompileFraction(const envoy::type::v3::FractionalPercent& from) {
  routing::Fraction fraction;
  fraction.numerator = from.numerator();
  switch (from.denominator()) {
    case envoy::type::v3::FractionalPercent::HUNDRED:
      fraction.denominator = 100;
      break;
    case envoy::type::v3::FractionalPercent::TEN_THOUSAND:
      fraction.denominator = 10'000;
      break;
    case envoy::type::v3::FractionalPercent::MILLION:
      fraction.denominator = 1'000'000;
      break;
    default:
      return absl::InvalidArgumentError("unknown denominator of a percentage");
  }
  return fraction;
}

namespace {

template <typename Names>
void CompileRemovals(const Names& from, routing::HeaderMutations& to) {
  for (const std::string& name : from) to.remove.push_back(routing::HeaderRef::Of(name));
}

StatusOr<HeaderAddition> CompileAddition(const envoy_core::HeaderValueOption& from) {
  HeaderAddition addition;
  if (from.header().key().empty()) return absl::InvalidArgumentError("a header without a name");
  addition.header = routing::HeaderRef::Of(from.header().key());
  const std::string& value =
      from.header().raw_value().empty() ? from.header().value() : from.header().raw_value();
  auto compiled = routing::HeaderTemplate::Compile(value);
  if (!compiled.ok()) {
    return WithContext(compiled.status(), fmt::format("header \"{}\"", from.header().key()));
  }
  addition.value = *std::move(compiled);
  addition.keeps_empty_value = from.keep_empty_value();
  switch (from.append_action()) {
    case envoy_core::HeaderValueOption::ADD_IF_ABSENT:
      addition.action = HeaderAddition::Action::kAddIfAbsent;
      break;
    case envoy_core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD:
      addition.action = HeaderAddition::Action::kOverwrite;
      break;
    case envoy_core::HeaderValueOption::OVERWRITE_IF_EXISTS:
      addition.action = HeaderAddition::Action::kOverwriteIfExists;
      break;
    default:
      addition.action = HeaderAddition::Action::kAppend;
  }
  // The deprecated flag still decides where it is set.
  if (from.has_append() && !from.append().value() &&
      addition.action == HeaderAddition::Action::kAppend) {
    addition.action = HeaderAddition::Action::kOverwrite;
  }
  return addition;
}

template <typename Options, typename Names>
StatusOr<routing::HeaderMutations> CompileMutations(const Options& add, const Names& remove) {
  routing::HeaderMutations to;
  CompileRemovals(remove, to);
  for (const auto& option : add) {
    MELTEMI_ASSIGN_OR_RETURN(HeaderAddition addition, CompileAddition(option));
    to.add.push_back(std::move(addition));
  }
  return to;
}

// Anything that carries the four fields of header mutations.
template <typename From, typename To>
Status CompileBothMutations(const From& from, To& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.request, CompileMutations(from.request_headers_to_add(),
                                                        from.request_headers_to_remove()));
  MELTEMI_ASSIGN_OR_RETURN(to.response, CompileMutations(from.response_headers_to_add(),
                                                         from.response_headers_to_remove()));
  return absl::OkStatus();
}

template <typename Configs>
StatusOr<routing::FilterOverrides> CompileOverrides(const Configs& from) {
  routing::FilterOverrides to;
  for (const auto& [name, any] : from) {
    auto entry = CompileFilterOverride(name, any.type_url(), any.value());
    if (!entry.ok()) {
      return WithContext(entry.status(), fmt::format("typed_per_filter_config \"{}\"", name));
    }
    if (entry->has_value()) to.push_back(**std::move(entry));
  }
  std::sort(to.begin(), to.end(), [](const auto& a, const auto& b) { return a.filter < b.filter; });
  return to;
}

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

class RouteCompiler final {
 public:
  explicit RouteCompiler(ClusterNames& clusters) : clusters_(clusters) {}

  StatusOr<std::shared_ptr<const HttpRoutes>> Compile(const envoy_route::RouteConfiguration& from);

 private:
  StatusOr<routing::VirtualHost> Host(const envoy_route::VirtualHost& from);
  StatusOr<routing::Route> OneRoute(const envoy_route::Route& from,
                                    const envoy_route::VirtualHost& host);
  Status Match(const envoy_route::RouteMatch& from, routing::Route& to);
  StatusOr<PathMatch> Path(const envoy_route::RouteMatch& from);
  StatusOr<routing::ForwardAction> Forward(const envoy_route::RouteAction& from,
                                           const envoy_route::VirtualHost& host);
  Status Target(const envoy_route::RouteAction& from, routing::ForwardAction& to);
  Status Rewrites(const envoy_route::RouteAction& from, routing::ForwardAction& to);
  void Timeouts(const envoy_route::RouteAction& from, routing::ForwardAction& to);
  StatusOr<routing::WeightedCluster> Weighted(
      const envoy_route::WeightedCluster::ClusterWeight& from);
  StatusOr<std::shared_ptr<const routing::RetryPolicy>> Retry(const envoy_route::RetryPolicy& from);
  StatusOr<routing::HashPolicy> Hash(const envoy_route::RouteAction::HashPolicy& from);
  StatusOr<routing::Mirror> OneMirror(const envoy_route::RouteAction::RequestMirrorPolicy& from);
  StatusOr<routing::RedirectAction> Redirect(const envoy_route::RedirectAction& from);
  StatusOr<routing::DirectResponse> Direct(const envoy_route::DirectResponseAction& from);
  routing::ClusterTarget TargetOf(const std::string& name) {
    return {name, clusters_.Intern(name)};
  }

  ClusterNames& clusters_;
  size_t direct_body_bytes_max_ = 4096;  // Envoy's default; Istio raises it to 1 MiB
  std::vector<routing::Mirror> common_mirrors_;
};

StatusOr<PathMatch> RouteCompiler::Path(const envoy_route::RouteMatch& from) {
  PathMatch to;
  to.is_case_sensitive = !from.has_case_sensitive() || from.case_sensitive().value();
  switch (from.path_specifier_case()) {
    case envoy_route::RouteMatch::kPrefix:
      to.kind = PathMatch::Kind::kPrefix;
      to.text = from.prefix();
      return to;
    case envoy_route::RouteMatch::kPathSeparatedPrefix:
      to.kind = PathMatch::Kind::kSeparatedPrefix;
      to.text = from.path_separated_prefix();
      return to;
    case envoy_route::RouteMatch::kPath:
      to.kind = PathMatch::Kind::kExact;
      to.text = from.path();
      return to;
    case envoy_route::RouteMatch::kSafeRegex: {
      to.kind = PathMatch::Kind::kRegex;
      to.text = from.safe_regex().regex();
      MELTEMI_ASSIGN_OR_RETURN(to.regex, routing::CompileRegex(to.text));
      return to;
    }
    case envoy_route::RouteMatch::kConnectMatcher:
      to.kind = PathMatch::Kind::kConnect;
      return to;
    default:
      return absl::InvalidArgumentError(
          "match: only prefix, path, safe_regex, path_separated_prefix and connect_matcher are "
          "supported");
  }
}

Status RouteCompiler::Match(const envoy_route::RouteMatch& from, routing::Route& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.path, Path(from));
  for (const auto& header : from.headers()) {
    MELTEMI_ASSIGN_OR_RETURN(HeaderPredicate predicate, CompileHeaderMatch(header));
    to.headers.push_back(std::move(predicate));
  }
  for (const auto& parameter : from.query_parameters()) {
    routing::QueryPredicate predicate{parameter.name(), std::nullopt};
    if (parameter.has_string_match()) {
      MELTEMI_ASSIGN_OR_RETURN(predicate.text, CompileStringMatch(parameter.string_match()));
    }
    to.query.push_back(std::move(predicate));
  }
  if (from.has_runtime_fraction()) {
    MELTEMI_ASSIGN_OR_RETURN(to.fraction, CompileFraction(from.runtime_fraction().default_value()));
  }
  to.is_grpc_only = from.has_grpc();
  // No filter here sets metadata yet, so a demand for some holds only when it is inverted.
  for (const auto& metadata : from.dynamic_metadata()) {
    if (!metadata.invert()) to.is_never_matched = true;
  }
  if (from.has_tls_context() || from.filter_state_size() > 0) {
    return absl::InvalidArgumentError("match: tls_context and filter_state are not supported");
  }
  return absl::OkStatus();
}

StatusOr<routing::WeightedCluster> RouteCompiler::Weighted(
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

Status RouteCompiler::Target(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
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

Status RouteCompiler::Rewrites(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
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

void RouteCompiler::Timeouts(const envoy_route::RouteAction& from, routing::ForwardAction& to) {
  if (from.has_timeout()) to.timeout = ToDuration(from.timeout());
  if (from.has_idle_timeout()) to.idle_timeout = ToDuration(from.idle_timeout());
  if (from.has_max_grpc_timeout()) to.grpc_timeout_max = ToDuration(from.max_grpc_timeout());
  if (!from.has_max_stream_duration()) return;
  const auto& duration = from.max_stream_duration();
  if (duration.has_max_stream_duration()) {
    to.stream_duration_max = ToDuration(duration.max_stream_duration());
  }
  if (duration.has_grpc_timeout_header_max()) {
    to.grpc_timeout_max = ToDuration(duration.grpc_timeout_header_max());
  }
}

StatusOr<std::shared_ptr<const routing::RetryPolicy>> RouteCompiler::Retry(
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

StatusOr<routing::HashPolicy> RouteCompiler::Hash(
    const envoy_route::RouteAction::HashPolicy& from) {
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

StatusOr<routing::Mirror> RouteCompiler::OneMirror(
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

StatusOr<routing::ForwardAction> RouteCompiler::Forward(const envoy_route::RouteAction& from,
                                                        const envoy_route::VirtualHost& host) {
  routing::ForwardAction to;
  MELTEMI_RETURN_IF_ERROR(Target(from, to));
  MELTEMI_RETURN_IF_ERROR(Rewrites(from, to));
  Timeouts(from, to);
  using Code = envoy_route::RouteAction;
  if (from.cluster_not_found_response_code() == Code::NOT_FOUND) to.cluster_not_found_status = 404;
  if (from.cluster_not_found_response_code() == Code::INTERNAL_SERVER_ERROR) {
    to.cluster_not_found_status = 500;
  }
  if (from.has_retry_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(to.retry, Retry(from.retry_policy()));
  } else if (host.has_retry_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(to.retry, Retry(host.retry_policy()));
  }
  if (from.has_internal_redirect_policy() || from.has_hedge_policy()) {
    return absl::InvalidArgumentError(
        "route: internal_redirect_policy and hedge_policy are not supported");
  }
  for (const auto& policy : from.hash_policy()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::HashPolicy hash, Hash(policy));
    to.hash.push_back(std::move(hash));
  }
  to.mirrors = common_mirrors_;
  if (from.request_mirror_policies_size() > 0) to.mirrors.clear();
  for (const auto& policy : from.request_mirror_policies()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::Mirror mirror, OneMirror(policy));
    to.mirrors.push_back(std::move(mirror));
  }
  for (const auto& upgrade : from.upgrade_configs()) {
    if (upgrade.has_connect_config()) {
      return absl::InvalidArgumentError("upgrade_configs: connect_config is not supported");
    }
    to.upgrades.emplace_back(routing::LowerCase(upgrade.upgrade_type()),
                             !upgrade.has_enabled() || upgrade.enabled().value());
  }
  const auto& subset = from.metadata_match().filter_metadata();
  if (const auto it = subset.find("envoy.lb"); it != subset.end()) {
    for (const auto& [key, value] : it->second.fields()) {
      to.subset.emplace_back(key, value.string_value());
    }
    std::sort(to.subset.begin(), to.subset.end());
  }
  return to;
}

StatusOr<routing::RedirectAction> RouteCompiler::Redirect(const envoy_route::RedirectAction& from) {
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

StatusOr<routing::DirectResponse> RouteCompiler::Direct(
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

StatusOr<routing::Route> RouteCompiler::OneRoute(const envoy_route::Route& from,
                                                 const envoy_route::VirtualHost& host) {
  routing::Route to;
  to.name = from.name();
  to.decorator = from.decorator().operation();
  MELTEMI_RETURN_IF_ERROR(Match(from.match(), to));
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, to));
  MELTEMI_ASSIGN_OR_RETURN(to.overrides, CompileOverrides(from.typed_per_filter_config()));
  switch (from.action_case()) {
    case envoy_route::Route::kRoute: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, Forward(from.route(), host));
      return to;
    }
    case envoy_route::Route::kRedirect: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, Redirect(from.redirect()));
      return to;
    }
    case envoy_route::Route::kDirectResponse: {
      MELTEMI_ASSIGN_OR_RETURN(to.action, Direct(from.direct_response()));
      return to;
    }
    default:
      return absl::InvalidArgumentError("a route needs one of route, redirect and direct_response");
  }
}

StatusOr<routing::VirtualHost> RouteCompiler::Host(const envoy_route::VirtualHost& from) {
  routing::VirtualHost to;
  to.name = from.name();
  to.domains.assign(from.domains().begin(), from.domains().end());
  if (from.has_matcher()) {
    return absl::InvalidArgumentError("a matcher in place of routes is not supported");
  }
  using Tls = routing::VirtualHost::TlsRequirement;
  if (from.require_tls() == envoy_route::VirtualHost::ALL) to.tls_requirement = Tls::kAll;
  if (from.require_tls() == envoy_route::VirtualHost::EXTERNAL_ONLY) {
    to.tls_requirement = Tls::kExternalOnly;
  }
  to.adds_attempt_count = from.include_request_attempt_count();
  to.adds_attempt_count_to_response = from.include_attempt_count_in_response();
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, to));
  MELTEMI_ASSIGN_OR_RETURN(to.overrides, CompileOverrides(from.typed_per_filter_config()));
  to.routes.reserve(static_cast<size_t>(from.routes_size()));
  for (int i = 0; i < from.routes_size(); ++i) {
    auto route = OneRoute(from.routes(i), from);
    if (!route.ok()) {
      return WithContext(route.status(), fmt::format("route {} \"{}\"", i, from.routes(i).name()));
    }
    to.routes.push_back(*std::move(route));
  }
  return to;
}

StatusOr<std::shared_ptr<const HttpRoutes>> RouteCompiler::Compile(
    const envoy_route::RouteConfiguration& from) {
  if (from.has_vhds() || from.cluster_specifier_plugins_size() > 0 ||
      !from.vhost_header().empty()) {
    return absl::InvalidArgumentError(
        "vhds, cluster_specifier_plugins and vhost_header are not supported");
  }
  if (from.has_max_direct_response_body_size_bytes()) {
    direct_body_bytes_max_ = from.max_direct_response_body_size_bytes().value();
  }
  routing::RouteOptions options;
  options.name = from.name();
  options.ignores_port = from.ignore_port_in_host_matching();
  options.most_specific_mutations_win = from.most_specific_header_mutations_wins();
  options.ignores_path_parameters = from.ignore_path_parameters_in_path_matching();
  MELTEMI_RETURN_IF_ERROR(CompileBothMutations(from, options));
  MELTEMI_ASSIGN_OR_RETURN(options.overrides, CompileOverrides(from.typed_per_filter_config()));
  for (const auto& policy : from.request_mirror_policies()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::Mirror mirror, OneMirror(policy));
    common_mirrors_.push_back(std::move(mirror));
  }
  std::vector<routing::VirtualHost> hosts;
  hosts.reserve(static_cast<size_t>(from.virtual_hosts_size()));
  for (const auto& virtual_host : from.virtual_hosts()) {
    auto host = Host(virtual_host);
    if (!host.ok()) {
      return WithContext(host.status(), fmt::format("virtual host \"{}\"", virtual_host.name()));
    }
    hosts.push_back(*std::move(host));
  }
  MELTEMI_ASSIGN_OR_RETURN(auto table,
                           routing::RouteTable::Build(std::move(options), std::move(hosts)));
  return std::make_shared<const HttpRoutes>(std::move(table));
}

}  // namespace

StatusOr<std::shared_ptr<const HttpRoutes>> CompileRouteConfiguration(
    const envoy_route::RouteConfiguration& from, ClusterNames& clusters) {
  auto routes = RouteCompiler(clusters).Compile(from);
  if (!routes.ok()) {
    return WithContext(routes.status(), fmt::format("route configuration \"{}\"", from.name()));
  }
  return routes;
}

StatusOr<std::shared_ptr<const RouteTableBase>> CompileRoutes(std::string_view serialized,
                                                              ClusterNames& clusters) {
  envoy_route::RouteConfiguration from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a RouteConfiguration message");
  }
  MELTEMI_ASSIGN_OR_RETURN(std::shared_ptr<const RouteTableBase> routes,
                           CompileRouteConfiguration(from, clusters));
  return routes;
}

}  // namespace meltemi::proxy
