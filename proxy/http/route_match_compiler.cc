// SPDX-License-Identifier: Apache-2.0
// What requests a route is for.
#include <fmt/format.h>

#include "proxy/http/route_compiler.h"
#include "proxy/http/route_compiler_parts.h"

namespace meltemi::proxy {

namespace envoy_route = envoy::config::route::v3;
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

StatusOr<PathMatch> CompilePathMatch(const envoy_route::RouteMatch& from) {
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

}  // namespace

Status CompileRouteMatch(const envoy_route::RouteMatch& from, routing::Route& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.path, CompilePathMatch(from));
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

}  // namespace meltemi::proxy
