// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/delegates.h"

#include <algorithm>
#include <optional>

namespace meltemi::pilot {
namespace {

using istio::networking::v1::HTTPMatchRequest;
using istio::networking::v1::HTTPRoute;
using istio::networking::v1::StringMatch;

// Whether everything that `inner` takes is taken by `root` too, as far as can be told from the
// texts.
bool Refines(const StringMatch& root, const StringMatch& inner) {
  if (root.match_type_case() == StringMatch::MATCH_TYPE_NOT_SET ||
      inner.match_type_case() == StringMatch::MATCH_TYPE_NOT_SET) {
    return true;
  }
  if (root.has_regex() || inner.has_regex()) return false;
  const std::string& text = inner.has_exact() ? inner.exact() : inner.prefix();
  if (root.has_exact()) return inner.has_exact() && text == root.exact();
  return text.starts_with(root.prefix());
}

template <typename Map>
bool MapRefines(const Map& root, const Map& inner) {
  return std::all_of(root.begin(), root.end(), [&](const auto& entry) {
    const auto found = inner.find(entry.first);
    return found == inner.end() || Refines(entry.second, found->second);
  });
}

bool LabelsAgree(const HTTPMatchRequest& root, const HTTPMatchRequest& inner) {
  return std::all_of(inner.source_labels().begin(), inner.source_labels().end(),
                     [&](const auto& entry) {
                       const auto found = root.source_labels().find(entry.first);
                       return found == root.source_labels().end() || found->second == entry.second;
                     });
}

bool GatewaysAgree(const HTTPMatchRequest& root, const HTTPMatchRequest& inner) {
  if (root.gateways().empty()) return true;
  return std::all_of(inner.gateways().begin(), inner.gateways().end(), [&](const auto& gateway) {
    return std::find(root.gateways().begin(), root.gateways().end(), gateway) !=
           root.gateways().end();
  });
}

bool Refines(const HTTPMatchRequest& root, const HTTPMatchRequest& inner) {
  if (inner.has_uri() && root.has_uri() && root.ignore_uri_case() != inner.ignore_uri_case()) {
    return false;
  }
  if (root.port() != 0 && inner.port() != 0 && root.port() != inner.port()) return false;
  if (!root.source_namespace().empty() && !inner.source_namespace().empty() &&
      inner.source_namespace() != root.source_namespace()) {
    return false;
  }
  return Refines(root.uri(), inner.uri()) && Refines(root.scheme(), inner.scheme()) &&
         Refines(root.method(), inner.method()) && Refines(root.authority(), inner.authority()) &&
         MapRefines(root.headers(), inner.headers()) &&
         MapRefines(root.query_params(), inner.query_params()) &&
         MapRefines(root.without_headers(), inner.without_headers()) && LabelsAgree(root, inner) &&
         GatewaysAgree(root, inner);
}

template <typename Map>
void Unite(const Map& root, Map& merged) {
  for (const auto& [key, value] : root) merged.insert({key, value});  // the delegate's own stays
}

std::optional<HTTPMatchRequest> Join(const HTTPMatchRequest& root, const HTTPMatchRequest& inner) {
  if (!Refines(root, inner)) return std::nullopt;
  HTTPMatchRequest joined = inner;
  if (!joined.has_uri() && root.has_uri()) {
    *joined.mutable_uri() = root.uri();
    joined.set_ignore_uri_case(root.ignore_uri_case());
  }
  if (!joined.has_scheme() && root.has_scheme()) *joined.mutable_scheme() = root.scheme();
  if (!joined.has_method() && root.has_method()) *joined.mutable_method() = root.method();
  if (!joined.has_authority() && root.has_authority()) {
    *joined.mutable_authority() = root.authority();
  }
  Unite(root.headers(), *joined.mutable_headers());
  Unite(root.query_params(), *joined.mutable_query_params());
  Unite(root.without_headers(), *joined.mutable_without_headers());
  Unite(root.source_labels(), *joined.mutable_source_labels());
  if (joined.port() == 0) joined.set_port(root.port());
  if (joined.gateways().empty()) *joined.mutable_gateways() = root.gateways();
  if (joined.source_namespace().empty()) joined.set_source_namespace(root.source_namespace());
  if (joined.stat_prefix().empty()) joined.set_stat_prefix(root.stat_prefix());
  const char* between = root.name().empty() || inner.name().empty() ? "" : "-";
  joined.set_name(root.name() + between + inner.name());
  return joined;
}

bool JoinMatches(const HTTPRoute& root, const HTTPRoute& inner, HTTPRoute& merged) {
  if (root.match().empty() || inner.match().empty()) {
    *merged.mutable_match() = root.match().empty() ? inner.match() : root.match();
    return true;
  }
  merged.clear_match();
  for (const auto& outer : root.match()) {
    for (const auto& match : inner.match()) {
      if (auto joined = Join(outer, match)) *merged.add_match() = *std::move(joined);
    }
  }
  return !merged.match().empty();
}

}  // namespace

bool MergeDelegateRoute(const HTTPRoute& root, const HTTPRoute& inner, HTTPRoute& merged) {
  merged = inner;
  if (!JoinMatches(root, inner, merged)) return false;
  const char* between = root.name().empty() || inner.name().empty() ? "" : "-";
  merged.set_name(root.name() + between + inner.name());
  if (!merged.has_rewrite() && root.has_rewrite()) *merged.mutable_rewrite() = root.rewrite();
  if (!merged.has_direct_response() && root.has_direct_response()) {
    *merged.mutable_direct_response() = root.direct_response();
  }
  if (!merged.has_timeout() && root.has_timeout()) *merged.mutable_timeout() = root.timeout();
  if (!merged.has_retries() && root.has_retries()) *merged.mutable_retries() = root.retries();
  if (!merged.has_fault() && root.has_fault()) *merged.mutable_fault() = root.fault();
  if (!merged.has_mirror() && root.has_mirror()) *merged.mutable_mirror() = root.mirror();
  if (merged.mirrors().empty()) *merged.mutable_mirrors() = root.mirrors();
  if (!merged.has_mirror_percentage() && root.has_mirror_percentage()) {
    *merged.mutable_mirror_percentage() = root.mirror_percentage();
  }
  if (!merged.has_cors_policy() && root.has_cors_policy()) {
    *merged.mutable_cors_policy() = root.cors_policy();
  }
  if (!merged.has_headers() && root.has_headers()) *merged.mutable_headers() = root.headers();
  return true;
}

}  // namespace meltemi::pilot
