// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>
#include <utility>

#include "bench/pure/subject.h"
#include "lib/balance/balancer.h"
#include "lib/base/check.h"
#include "lib/routing/route_table.h"
#include "proxy/http/request_target.h"

namespace meltemi::bench {
namespace {

struct CanonicalTarget {
  explicit CanonicalTarget(const char* path) : path(path) {
    options.normalizes_path = options.merges_slashes = true;
    options.escaped_slashes = proxy::HttpOptions::EscapedSlashes::kForward;
    options.strips_matching_port = true;
    head.method = "GET";
  }
  void operator()() {
    arena.Reset();
    head.path = path;
    head.authority = "reviews.default.svc.cluster.local:9080";
    MELTEMI_CHECK(proxy::CanonicalizeTarget(options, 9080, head).status == 0);
    MELTEMI_CHECK(head.path == "/shop/items/~alice/a/b?view=full");
  }
  std::string_view path;
  proxy::HttpOptions options;
  Arena arena;
  http::RequestHead head{arena};
};

using routing::HeaderPredicate;
using routing::StringMatch;

HeaderPredicate Header(std::string_view name, StringMatch::Kind kind, std::string_view text) {
  HeaderPredicate predicate;
  predicate.header = routing::HeaderRef::Of(name);
  predicate.kind = HeaderPredicate::Kind::kText;
  predicate.text = *StringMatch::Create(kind, text);
  return predicate;
}

routing::Route Prefix(std::string prefix, std::vector<HeaderPredicate> headers = {}) {
  routing::Route route;
  route.name = prefix;
  route.path = {routing::PathMatch::Kind::kPrefix, true, std::move(prefix), {}};
  route.headers = std::move(headers);
  return route;
}

// A request that none but the last route takes.
struct FindRoute {
  explicit FindRoute(std::vector<routing::Route> routes) {
    last = routes.back().name;
    std::vector<routing::VirtualHost> hosts(100);
    for (size_t i = 0; i < hosts.size(); ++i) {
      hosts[i].name = "service-" + std::to_string(i);
      hosts[i].domains = {hosts[i].name + ".default.svc.cluster.local"};
    }
    hosts[42].routes = std::move(routes);
    authority = hosts[42].domains.front();
    table = *routing::RouteTable::Build({}, std::move(hosts));
    path = last + "/items?id=1";
    head.method = "GET";
    head.authority = authority;
    head.path = path;
    head.headers.Add("x-version", "v2");
    head.headers.Add("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    head.headers.Add("cookie", "user=jason; theme=dark");
  }
  void operator()() {
    const routing::Found found = table->Find(head, 7);
    MELTEMI_CHECK(found.route != nullptr && found.route->name == last);
  }
  std::string authority, path, last;
  std::shared_ptr<const routing::RouteTable> table;
  Arena arena;
  http::RequestHead head{arena};
};

std::vector<routing::Route> Prefixes(int count) {
  std::vector<routing::Route> routes;
  for (int i = 0; i < count; ++i) routes.push_back(Prefix("/api/v" + std::to_string(i) + "x"));
  return routes;
}

std::vector<routing::Route> WithHeaders() {
  using Kind = StringMatch::Kind;
  return {
      Prefix("/", {Header("x-version", Kind::kExact, "v1")}),
      Prefix("/", {Header("x-version", Kind::kExact, "v2"), Header("x-user", Kind::kPrefix, "j")}),
      Prefix("/", {Header("user-agent", Kind::kContains, "iPhone")}),
      Prefix("/", {Header("cookie", Kind::kRegex, "(.*; ?)?user=alice(;.*)?")}),
      Prefix("/shop", {Header("cookie", Kind::kRegex, "(.*; ?)?user=jason(;.*)?")}),
  };
}

using balance::Policy;

// Sixteen picks among ten hosts.
struct Pick final : balance::PickState {
  explicit Pick(Policy policy) {
    balance::HostSet hosts;
    hosts.localities.push_back({0, 1});
    for (uint32_t i = 0; i < kHosts; ++i) {
      hosts.hash_key.push_back("10.0.0." + std::to_string(i) + ":80");
      hosts.weight.push_back(1 + i % 3);
      hosts.health.push_back(i == 5 ? balance::Health::kUnhealthy : balance::Health::kHealthy);
      hosts.locality.push_back(0);
    }
    balancer = *balance::Build(hosts, {.policy = policy});
  }
  void operator()() {
    for (int i = 0; i < 16; ++i) {
      const uint32_t host = balancer->Pick({.hash = Random(), .has_hash = true}, *this);
      MELTEMI_CHECK(host < kHosts && host != 5);
    }
  }
  uint64_t Random() override { return routing::Mix(0, ++drawn); }
  uint32_t active(uint32_t host) const override { return host * 7 % 4; }

  static constexpr uint32_t kHosts = 10;
  std::unique_ptr<const balance::Balancer> balancer;
  uint64_t drawn = 0;
};

}  // namespace

std::vector<Subject> DecisionSubjects() {
  return {
      Measure<CanonicalTarget>("path_normal", "/shop/items/~alice/a/b?view=full"),
      Measure<CanonicalTarget>("path_to_normalize", "/shop/x/../items//%7ealice/a%2Fb?view=full"),
      Measure<FindRoute>("route_of_10", Prefixes(10)),
      Measure<FindRoute>("route_of_1000", Prefixes(1000)),
      Measure<FindRoute>("route_by_headers", WithHeaders()),
      Measure<Pick>("pick_16_round_robin", Policy::kRoundRobin),
      Measure<Pick>("pick_16_least_request", Policy::kLeastRequest),
      Measure<Pick>("pick_16_ring_hash", Policy::kRingHash),
      Measure<Pick>("pick_16_maglev", Policy::kMaglev),
  };
}

}  // namespace meltemi::bench
