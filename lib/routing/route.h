// SPDX-License-Identifier: Apache-2.0
// One route as compiled: what it matches and what is done. Plain data, immutable once in a table,
// thread-safe. Cluster ids are whatever the compiler's resolver gave; this library only carries
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/clock.h"
#include "lib/routing/header_template.h"
#include "lib/routing/path_index.h"
#include "lib/routing/predicates.h"
#include "lib/routing/retry.h"

namespace meltemi::routing {

inline constexpr uint32_t kNoCluster = UINT32_MAX;

struct ClusterTarget {
  std::string name;
  uint32_t id = kNoCluster;  // kNoCluster = unknown when compiled
};

// What routes change in filters, by filter. Filters know their own type behind `config`.
struct FilterOverride {
  std::string filter;
  std::shared_ptr<const void> config;
  bool is_disabled = false;
};
using FilterOverrides = std::vector<FilterOverride>;

struct WeightedCluster {
  ClusterTarget cluster;
  uint32_t weight = 0;
  HeaderMutations request;
  HeaderMutations response;
  std::string host_rewrite;
  FilterOverrides overrides;
};

struct RegexRewrite {
  std::shared_ptr<const re2::RE2> regex;
  std::string substitution;  // RE2's form: \1
};

struct HashPolicy {
  enum class Kind : uint8_t { kHeader, kCookie, kSourceIp, kQueryParameter };
  Kind kind = Kind::kHeader;
  bool is_terminal = false;
  HeaderRef header;
  std::string name;  // of the cookie or parameter
  std::string cookie_path;
  std::vector<std::pair<std::string, std::string>> cookie_attributes;
  std::optional<Duration>
      cookie_ttl;  // set = the proxy makes the cookie when absent; 0 = session cookie
};

struct Mirror {
  ClusterTarget cluster;
  Fraction fraction;
  bool appends_shadow_suffix = true;
  HeaderMutations request;
};

struct ForwardAction {
  ClusterTarget cluster;
  std::optional<HeaderRef> cluster_header;  // instead of `cluster`
  std::vector<WeightedCluster> weighted;    // instead of `cluster`, when not empty
  uint64_t total_weight = 0;
  int cluster_not_found_status = 503;

  std::string prefix_rewrite;  // empty = none
  std::optional<RegexRewrite> regex_rewrite;
  std::string host_rewrite;
  bool is_host_rewritten_to_upstream = false;  // auto_host_rewrite
  std::optional<HeaderRef> host_rewrite_header;
  std::optional<RegexRewrite> host_rewrite_path;
  bool appends_forwarded_host = false;

  Duration timeout = std::chrono::seconds(15);  // 0 = none
  std::optional<Duration> idle_timeout;
  std::optional<Duration>
      stream_duration_max;  // 0 = none, set = overrides the connection manager's
  // Set = grpc-timeout takes the place of `timeout`, less the offset; 0 = without bound.
  std::optional<Duration> grpc_timeout_max;
  Duration grpc_timeout_offset{0};
  // Set = grpc-timeout takes the place of `stream_duration_max`, less the offset; 0 = without
  // bound.
  std::optional<Duration> grpc_duration_max;
  Duration grpc_duration_offset{0};
  bool has_stream_duration = false;  // then grpc-timeout is sent on as it came

  std::shared_ptr<const RetryPolicy> retry;
  std::vector<HashPolicy> hash;
  std::vector<Mirror> mirrors;
  std::vector<std::pair<std::string, bool>> upgrades;  // lower-case token, enabled
  bool terminates_connect = false;  // a CONNECT's bytes go to the cluster as they are
  std::vector<std::pair<std::string, std::string>> subset;
};

struct RedirectAction {
  int status = 301;
  std::string scheme;
  std::string host;
  uint32_t port = 0;
  std::string path;
  std::string prefix_rewrite;
  bool has_prefix_rewrite = false;
  std::optional<RegexRewrite> regex_rewrite;
  bool strips_query = false;
};

struct DirectResponse {
  int status = 200;
  std::string body;
};

struct Route {
  std::string name;
  PathMatch path;
  std::vector<HeaderPredicate> headers;
  std::vector<QueryPredicate> query;
  std::optional<Fraction> fraction;
  bool is_grpc_only = false;
  bool is_never_matched = false;  // asks for metadata that nothing here sets
  std::variant<ForwardAction, RedirectAction, DirectResponse> action;
  HeaderMutations request;
  HeaderMutations response;
  FilterOverrides overrides;
  std::string decorator;  // operation name of spans

  const ForwardAction* forward() const { return std::get_if<ForwardAction>(&action); }
};

}  // namespace meltemi::routing
