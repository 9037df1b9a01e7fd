// SPDX-License-Identifier: Apache-2.0
// Matching: hosts, paths in first-match order, predicates, and what actions make of a request.
#include <gtest/gtest.h>

#include <random>

#include "lib/routing/actions.h"
#include "lib/routing/route_table.h"

namespace meltemi::routing {
namespace {

PathMatch Prefix(std::string text) {
  return {PathMatch::Kind::kPrefix, true, std::move(text), {}};
}
PathMatch Exact(std::string text) {
  return {PathMatch::Kind::kExact, true, std::move(text), {}};
}
PathMatch Regex(std::string text) {
  PathMatch match{PathMatch::Kind::kRegex, true, text, {}};
  match.regex = *CompileRegex(text);
  return match;
}

Route RouteTo(std::string name, PathMatch path) {
  Route route;
  route.name = std::move(name);
  route.path = std::move(path);
  return route;
}

class Request {
 public:
  Request(std::string_view authority, std::string_view path) : head_(arena_) {
    head_.method = "GET";
    head_.scheme = "http";
    head_.authority = authority;
    head_.path = path;
  }
  http::RequestHead* operator->() { return &head_; }
  http::RequestHead& operator*() { return head_; }
  Arena& arena() { return arena_; }

 private:
  Arena arena_;
  http::RequestHead head_;
};

TEST(HostTable, PrefersExactThenLongestSuffixThenLongestPrefixThenAny) {
  HostTable table;
  ASSERT_TRUE(table.Add("*", 0).ok());
  ASSERT_TRUE(table.Add("www.*", 1).ok());
  ASSERT_TRUE(table.Add("*.com", 2).ok());
  ASSERT_TRUE(table.Add("*.example.com", 3).ok());
  ASSERT_TRUE(table.Add("www.example.com", 4).ok());
  EXPECT_EQ(table.Find("WWW.Example.Com"), 4U);
  EXPECT_EQ(table.Find("api.example.com"), 3U);
  EXPECT_EQ(table.Find("www.other.com"), 2U);
  EXPECT_EQ(table.Find("www.other.org"), 1U);
  EXPECT_EQ(table.Find(".example.com"), 2U) << "a wildcard stands for one character at least";
  EXPECT_EQ(table.Find("x"), 0U);
  EXPECT_FALSE(table.Add("*.COM", 9).ok()) << "the same domain in other case";
  EXPECT_FALSE(table.Add("a.*.b", 9).ok());
}

TEST(HostTable, StripsThePortOnlyWhenAsked) {
  HostTable table;
  ASSERT_TRUE(table.Add("a", 1).ok());
  ASSERT_TRUE(table.Add("[::1]", 2).ok());
  EXPECT_FALSE(table.Find("a:80").has_value());
  table.set_ignores_port(true);
  EXPECT_EQ(table.Find("a:80"), 1U);
  EXPECT_EQ(table.Find("[::1]:80"), 2U);
  EXPECT_EQ(table.Find("[::1]"), 2U);
}

TEST(PathIndex, FindsWhatALinearScanFinds) {
  const unsigned seed = 20240501;
  std::mt19937 random(seed);
  const std::vector<std::string> parts = {"/", "a", "b", "/a", "/b", "ab"};
  const auto text = [&] {
    std::string s = "/";
    for (size_t n = random() % 5; n > 0; --n) s += parts[random() % parts.size()];
    return s;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<PathMatch> matchers;
    for (int i = 0; i < 40; ++i) {
      PathMatch match;
      match.kind = static_cast<PathMatch::Kind>(random() % 4);
      match.is_case_sensitive = random() % 8 != 0;
      match.text = text();
      if (match.kind == PathMatch::Kind::kRegex) match.regex = *CompileRegex(match.text + ".*a");
      matchers.push_back(match);
    }
    std::vector<const PathMatch*> pointers;
    for (const PathMatch& match : matchers) pointers.push_back(&match);
    const PathIndex index(pointers);
    for (int i = 0; i < 50; ++i) {
      const std::string path = text();
      int64_t linear = -1;
      for (size_t r = 0; r < matchers.size() && linear < 0; ++r) {
        if (matchers[r].Matches(path, false)) linear = static_cast<int64_t>(r);
      }
      const auto accept = [&](uint32_t r) { return matchers[r].Matches(path, false); };
      ASSERT_EQ(index.FirstOf(path, accept), linear) << path << " seed " << seed;
    }
  }
}

std::shared_ptr<const RouteTable> Table(std::vector<Route> routes) {
  VirtualHost host;
  host.name = "all";
  host.domains = {"*"};
  host.routes = std::move(routes);
  return *RouteTable::Build({}, {host});
}

std::string NameOf(const RouteTable& table, Request& request, uint64_t random = 0) {
  const Found found = table.Find(*request, random);
  return found.route == nullptr ? "" : found.route->name;
}

TEST(RouteTable, TakesTheFirstMatchNotTheLongest) {
  const auto table = Table({RouteTo("regex", Regex("/[a-z]+/x")), RouteTo("root", Prefix("/a")),
                            RouteTo("longer", Prefix("/a/b"))});
  Request x("h", "/a/x?q=/"), b("h", "/a/b"), other("h", "/c");
  EXPECT_EQ(NameOf(*table, x), "regex");
  EXPECT_EQ(NameOf(*table, b), "root");
  EXPECT_EQ(NameOf(*table, other), "");
}

TEST(RouteTable, SeparatedPrefixEndsAtASegment) {
  const auto table = Table({RouteTo("foo", {PathMatch::Kind::kSeparatedPrefix, true, "/foo", {}})});
  Request exact("h", "/foo"), query("h", "/foo?x"), below("h", "/foo/x"), longer("h", "/foobar");
  EXPECT_EQ(NameOf(*table, exact), "foo");
  EXPECT_EQ(NameOf(*table, query), "foo");
  EXPECT_EQ(NameOf(*table, below), "foo");
  EXPECT_EQ(NameOf(*table, longer), "");
}

HeaderPredicate Text(std::string_view header, StringMatch::Kind kind, std::string_view text) {
  HeaderPredicate predicate;
  predicate.header = HeaderRef::Of(header);
  predicate.kind = HeaderPredicate::Kind::kText;
  predicate.text = *StringMatch::Create(kind, text);
  return predicate;
}

TEST(HeaderPredicate, MissingHeadersMatchNeitherAPatternNorItsNegation) {
  Request request("h", "/");
  HeaderPredicate predicate = Text("x-a", StringMatch::Kind::kExact, "1");
  EXPECT_FALSE(predicate.Matches(*request));
  predicate.is_inverted = true;
  EXPECT_FALSE(predicate.Matches(*request));
  predicate.treats_missing_as_empty = true;
  EXPECT_TRUE(predicate.Matches(*request));
  request->headers.Add("x-a", "1");
  EXPECT_FALSE(predicate.Matches(*request));
}

TEST(HeaderPredicate, JudgesPseudoHeadersPresenceAndRanges) {
  Request request("h.example", "/p");
  EXPECT_TRUE(Text(":method", StringMatch::Kind::kRegex, "GET|HEAD").Matches(*request));
  EXPECT_TRUE(Text(":authority", StringMatch::Kind::kSuffix, ".example").Matches(*request));
  HeaderPredicate present;
  present.header = HeaderRef::Of("User-Agent");
  EXPECT_FALSE(present.Matches(*request));
  request->headers.Add(http::HeaderId::kUserAgent, "x");
  EXPECT_TRUE(present.Matches(*request));
  HeaderPredicate range;
  range.header = HeaderRef::Of("n");
  range.kind = HeaderPredicate::Kind::kRange;
  range.range_start = -1;
  range.range_end = 10;
  request->headers.Add("n", "9");
  EXPECT_TRUE(range.Matches(*request));
  request->headers.Set("n", "10");
  EXPECT_FALSE(range.Matches(*request));
  request->headers.Set("n", "9x");
  EXPECT_FALSE(range.Matches(*request));
}

TEST(HeaderPredicate, NegatedRegexHoldsAgainstBytesBeyondAscii) {
  Request request("h", "/");
  request->headers.Add("x-role", "admin\xff");
  HeaderPredicate predicate = Text("x-role", StringMatch::Kind::kRegex, "admin.*");
  predicate.is_inverted = true;
  EXPECT_FALSE(predicate.Matches(*request));
}

TEST(QueryPredicate, SeesWholeParametersOnly) {
  EXPECT_TRUE((QueryPredicate{"a", std::nullopt}.Matches("/x?b=1&a")));
  EXPECT_FALSE((QueryPredicate{"a", std::nullopt}.Matches("/x?ba=1")));
  EXPECT_TRUE((QueryPredicate{"a", StringMatch::Exact("1")}.Matches("/x?a=1#f")));
  EXPECT_FALSE((QueryPredicate{"a", StringMatch::Exact("1")}.Matches("/a=1")));
}

TEST(Actions, WeightedClustersFollowTheirWeights) {
  ForwardAction action;
  for (const uint32_t weight : {20U, 80U, 0U}) {
    WeightedCluster entry;
    entry.cluster.name = std::to_string(weight);
    entry.weight = weight;
    action.weighted.push_back(std::move(entry));
  }
  action.total_weight = 100;
  Request request("h", "/");
  std::mt19937_64 random(7);
  int twenties = 0;
  for (int i = 0; i < 10000; ++i) {
    const uint64_t value = random();
    const ChosenCluster chosen = ChooseCluster(action, *request, value);
    ASSERT_NE(chosen.name, "0");
    twenties += chosen.name == "20";
    EXPECT_EQ(ChooseCluster(action, *request, value).name, chosen.name);
  }
  EXPECT_NEAR(twenties, 2000, 200);
}

TEST(Actions, RewritesKeepTheQuery) {
  Arena arena;
  ForwardAction action;
  action.prefix_rewrite = "/new";
  EXPECT_EQ(RewritePath(action, Prefix("/old"), "/old/x?q=/old", arena), "/new/x?q=/old");
  EXPECT_EQ(RewritePath(action, Exact("/old"), "/old?q", arena), "/new?q");
  action.regex_rewrite = RegexRewrite{*CompileRegex("^/service/([^/]+)(/.*)$"), "\\2/at/\\1"};
  EXPECT_EQ(RewritePath(action, Prefix("/"), "/service/foo/v1?a=1", arena), "/v1/at/foo?a=1");
}

struct RedirectCase {
  RedirectAction action;
  std::string_view authority, path, location;
};

TEST(Actions, RedirectsAsEnvoyDoes) {
  RedirectAction https;
  https.scheme = "https";
  RedirectAction port;
  port.port = 8443;
  RedirectAction path;
  path.host = "other";
  path.path = "/new";
  RedirectAction strips = path;
  strips.strips_query = true;
  RedirectAction own_query = path;
  own_query.path = "/new?own";
  RedirectAction prefix;
  prefix.has_prefix_rewrite = true;
  prefix.prefix_rewrite = "/v2";
  const RedirectCase cases[] = {
      {https, "a.b:80", "/x?q", "https://a.b/x?q"},
      {https, "a.b:8080", "/", "https://a.b:8080/"},
      {port, "a.b:80", "/", "http://a.b:8443/"},
      {port, "[::1]:80", "/", "http://[::1]:8443/"},
      {path, "a", "/x?q", "http://other/new?q"},
      {strips, "a", "/x?q", "http://other/new"},
      {own_query, "a", "/x?q", "http://other/new?own"},
      {prefix, "a", "/v1/x?q", "http://a/v2/x?q"},
  };
  for (const RedirectCase& test : cases) {
    Request request(test.authority, test.path);
    EXPECT_EQ(Location(test.action, Prefix("/v1"), *request, request.arena()), test.location);
  }
}

TEST(Actions, HashesCombineUntilATerminalOneAndMakeCookies) {
  Request request("h", "/?user=1");
  HashPolicy header;
  header.header = HeaderRef::Of("x-user");
  header.is_terminal = true;
  HashPolicy cookie;
  cookie.kind = HashPolicy::Kind::kCookie;
  cookie.name = "session";
  cookie.cookie_path = "/";
  cookie.cookie_ttl = std::chrono::seconds(60);
  const std::vector<HashPolicy> policies = {header, cookie};
  const RequestHash made = HashRequest(policies, *request, "", 42, request.arena());
  ASSERT_NE(made.new_cookie, nullptr);
  EXPECT_EQ(SetCookie(cookie, "v", request.arena()), "session=\"v\"; Max-Age=60; Path=/; HttpOnly");
  // The client that sends the cookie back lands on the same hash.
  request->headers.Add(http::HeaderId::kCookie,
                       "a=b; session=\"" + std::string(made.new_cookie_value) + "\"");
  const RequestHash again = HashRequest(policies, *request, "", 43, request.arena());
  EXPECT_EQ(again.new_cookie, nullptr);
  EXPECT_EQ(again.value, made.value);
  request->headers.Add("x-user", "me");
  EXPECT_NE(HashRequest(policies, *request, "", 1, request.arena()).value, made.value);
}

class FixedSource final : public ValueSource {
 public:
  std::string_view Value(ValueCommand, std::string_view, Arena&) const override {
    return "10.0.0.1";
  }
};

TEST(HeaderTemplate, RendersCommandsAndRefusesUnknownOnes) {
  Request request("h", "/p");
  request->headers.Add("x-a", "value");
  const FixedSource source;
  const MessageView view{&*request, nullptr, &source};
  const auto render = [&](std::string_view text) {
    return std::string(HeaderTemplate::Compile(text)->Render(view, request.arena()));
  };
  EXPECT_EQ(render("100%%"), "100%");
  EXPECT_EQ(render("%REQ(X-A)%"), "value");
  EXPECT_EQ(render("%REQ(X-B?:PATH)%:%REQ(x-a):3%"), "/p:val");
  EXPECT_EQ(render("ip=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%;"), "ip=10.0.0.1;");
  EXPECT_FALSE(HeaderTemplate::Compile("%NO_SUCH%").ok());
  EXPECT_FALSE(HeaderTemplate::Compile("50% off").ok());
  EXPECT_FALSE(HeaderTemplate::Compile("%REQ(X%").ok());
}

HeaderAddition Addition(std::string_view name, std::string_view value,
                        HeaderAddition::Action action) {
  return {HeaderRef::Of(name), *HeaderTemplate::Compile(value), action, false};
}

TEST(HeaderMutations, RemoveThenAddByTheirActions) {
  using Action = HeaderAddition::Action;
  Request request("h", "/");
  request->headers.Add("x-gone", "1");
  request->headers.Add("x-set", "1");
  request->headers.Add("x-many", "1");
  HeaderMutations mutations;
  mutations.remove = {HeaderRef::Of("X-Gone")};
  mutations.add = {Addition("x-set", "2", Action::kOverwrite),
                   Addition("x-many", "2", Action::kAppend),
                   Addition("x-many", "3", Action::kAddIfAbsent),
                   Addition("x-new", "4", Action::kOverwriteIfExists),
                   Addition("x-empty", "%REQ(none)%", Action::kAppend),
                   Addition(":authority", "other", Action::kOverwrite)};
  mutations.Apply(*request, {&*request, nullptr, nullptr});
  EXPECT_EQ(request->headers.Find("x-gone"), nullptr);
  EXPECT_EQ(*request->headers.Find("x-set"), "2");
  EXPECT_EQ(request->headers.Joined("x-many"), "1,2");
  EXPECT_EQ(request->headers.Find("x-new"), nullptr);
  EXPECT_EQ(request->headers.Find("x-empty"), nullptr);
  EXPECT_EQ(request->authority, "other");
}

TEST(RetryPolicy, IstiosDefaultRetriesWhatIsSafe) {
  RetryPolicy policy =
      *ParseRetryOn("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes");
  policy.retriable_status_codes = {503};
  EXPECT_TRUE(policy.Retries(AttemptFailure::kConnectFailed));
  EXPECT_TRUE(policy.Retries(AttemptFailure::kRefused));
  EXPECT_FALSE(policy.Retries(AttemptFailure::kReset));
  EXPECT_FALSE(policy.Retries(AttemptFailure::kOverflow));
  Arena arena;
  http::ResponseHead response(arena);
  response.status = 503;
  EXPECT_TRUE(policy.Retries(response));
  response.status = 500;
  EXPECT_FALSE(policy.Retries(response));
  response.status = 200;
  response.headers.Add(http::HeaderId::kGrpcStatus, "14");
  EXPECT_TRUE(policy.Retries(response));
  response.headers.Add("x-envoy-overloaded", "true");
  EXPECT_FALSE(policy.Retries(response));
}

TEST(RetryPolicy, ParsesNumbersAndRefusesNonsense) {
  EXPECT_EQ(ParseRetryOn("5xx, 418")->retriable_status_codes, std::vector<int>{418});
  EXPECT_FALSE(ParseRetryOn("5xx,sometimes").ok());
  EXPECT_EQ(ParseRetryOnHeader("reset,sometimes"), uint32_t{RetryPolicy::kReset});
}

TEST(RetryPolicy, BackoffGrowsToItsLimit) {
  const RetryPolicy policy;
  for (uint64_t random = 0; random < 1000000000; random += 12345677) {
    EXPECT_LT(policy.Backoff(1, random), std::chrono::milliseconds(25));
    EXPECT_LT(policy.Backoff(2, random), std::chrono::milliseconds(75));
    EXPECT_LT(policy.Backoff(60, random), std::chrono::milliseconds(250));
  }
}

}  // namespace
}  // namespace meltemi::routing
