// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/virtual_service_matches.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "envoy/config/route/v3/route_components.pb.h"

namespace meltemi::pilot {
namespace {

namespace v1 = istio::networking::v1;
namespace v3 = envoy::config::route::v3;

// Nothing to compare with: it is enough that the header is there. Istio takes the regex "*", which
// is none, for the same.
bool IsPresence(const v1::StringMatch& match) {
  return match.match_type_case() == v1::StringMatch::MATCH_TYPE_NOT_SET || match.regex() == "*";
}

void AddHeader(const std::string& name, const v1::StringMatch& from, v3::RouteMatch& to) {
  v3::HeaderMatcher& header = *to.add_headers();
  header.set_name(name);
  if (IsPresence(from)) {
    header.set_present_match(true);
  } else {
    SetStringMatch(from, *header.mutable_string_match());
  }
}

// Maps have no order, routes must: equal configurations have to be equal bytes.
template <typename Map>
std::vector<std::pair<std::string, const v1::StringMatch*>> Sorted(const Map& map) {
  std::vector<std::pair<std::string, const v1::StringMatch*>> sorted;
  sorted.reserve(map.size());
  for (const auto& [key, value] : map) sorted.emplace_back(key, &value);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return sorted;
}

// Headers that must match and such that must not, together in the order of their names.
void AddHeaders(const v1::HTTPMatchRequest& from, v3::RouteMatch& to) {
  const auto with = Sorted(from.headers());
  const auto without = Sorted(from.without_headers());
  size_t next = 0;
  const auto add_without = [&] {
    const auto& [name, match] = without[next++];
    AddHeader(name, *match, to);
    v3::HeaderMatcher& header = *to.mutable_headers(to.headers_size() - 1);
    header.set_invert_match(true);
    if (!IsPresence(*match)) header.set_treat_missing_header_as_empty(true);
  };
  for (const auto& [name, match] : with) {
    while (next < without.size() && without[next].first < name) add_without();
    AddHeader(name, *match, to);
  }
  while (next < without.size()) add_without();
}

void SetPath(const v1::StringMatch& from, v3::RouteMatch& to) {
  switch (from.match_type_case()) {
    case v1::StringMatch::kExact:
      to.set_path(from.exact());
      break;
    case v1::StringMatch::kPrefix:
      to.set_prefix(from.prefix());
      break;
    case v1::StringMatch::kRegex:
      to.mutable_safe_regex()->set_regex(from.regex());
      break;
    case v1::StringMatch::MATCH_TYPE_NOT_SET:
      to.set_prefix("/");
      break;
  }
}

}  // namespace

void SetStringMatch(const v1::StringMatch& from, envoy::type::matcher::v3::StringMatcher& to) {
  switch (from.match_type_case()) {
    case v1::StringMatch::kExact:
      to.set_exact(from.exact());
      break;
    case v1::StringMatch::kPrefix:
      to.set_prefix(from.prefix());
      break;
    case v1::StringMatch::kRegex:
      to.mutable_safe_regex()->set_regex(from.regex());
      break;
    case v1::StringMatch::MATCH_TYPE_NOT_SET:
      break;
  }
}

void SetRouteMatch(const v1::HTTPMatchRequest& from, v3::RouteMatch& to) {
  SetPath(from.uri(), to);
  to.mutable_case_sensitive()->set_value(!from.ignore_uri_case());
  AddHeaders(from, to);
  if (from.has_method()) AddHeader(":method", from.method(), to);
  if (from.has_authority()) AddHeader(":authority", from.authority(), to);
  if (from.has_scheme()) AddHeader(":scheme", from.scheme(), to);
  for (const auto& [name, match] : Sorted(from.query_params())) {
    v3::QueryParameterMatcher& parameter = *to.add_query_parameters();
    parameter.set_name(name);
    if (IsPresence(*match)) {
      parameter.set_present_match(true);
    } else {
      SetStringMatch(*match, *parameter.mutable_string_match());
    }
  }
}

}  // namespace meltemi::pilot
