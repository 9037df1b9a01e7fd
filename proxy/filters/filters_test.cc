// SPDX-License-Identifier: Apache-2.0
// Filters as configurations name them, run on a stream in memory; what must be refused is refused.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "lib/telemetry/metrics.h"
#include "proxy/filters/registry.h"
#include "proxy/http/compile.h"
#include "proxy/http/testing/fakes.h"
#include "udpa/type/v1/typed_struct.pb.h"

namespace meltemi::proxy {
namespace {

using testing::FakeWorker;

class Names final : public ClusterNames, public RouteSubscriptions {
 public:
  uint32_t Intern(std::string_view) override { return next_++; }
  StatusOr<RouteId> Subscribe(std::string_view,
                              const envoy::config::core::v3::ConfigSource&) override {
    return next_++;
  }

 private:
  uint32_t next_ = 0;
};

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class FakeFilterStream final : public FilterStream {
 public:
  FakeFilterStream() : request(arena), response(arena) {
    request.method = "GET";
    request.authority = "reviews:9080";
    request.path = "/";
    info_.worker = &worker;
    info_.downstream = &facts;
    info_.request = &request;
    info_.response = &response;
    info_.arena = &arena;
    info_.cluster_info = &worker.fake_upstreams.cluster;
    info_.cluster_name = "outbound|9080||reviews";
  }
  StreamInfo& info() override { return info_; }
  void Reply(const LocalReply& answer) override {
    status = answer.status;
    grpc_status = answer.grpc_status;
  }
  void PauseFor(Duration delay) override { pause = delay; }
  const void* Override(std::string_view) const override { return override_config.get(); }

  FakeWorker worker;
  Arena arena;
  http::RequestHead request;
  http::ResponseHead response;
  DownstreamFacts facts;
  StreamInfo info_;
  int status = 0;
  int grpc_status = -1;
  Duration pause{0};
  std::shared_ptr<const void> override_config;
};

class FilterTest : public ::testing::Test {
 protected:
  StatusOr<std::shared_ptr<const HttpFilter>> Compile(const std::string& type,
                                                      const std::string& bytes) {
    return CompileFilter("name", "type.googleapis.com/" + type, bytes, {process_, chain_});
  }
  std::shared_ptr<const HttpFilter> CompileStruct(const std::string& type,
                                                  const std::string& fields) {
    auto typed = Parse<udpa::type::v1::TypedStruct>("value {" + fields + "}");
    typed.set_type_url("type.googleapis.com/" + type);
    auto filter = Compile("udpa.type.v1.TypedStruct", typed.SerializeAsString());
    EXPECT_TRUE(filter.ok()) << filter.status();
    return *filter;
  }
  std::shared_ptr<const HttpFilter> Fault(const std::string& text) {
    const std::string type = "envoy.extensions.filters.http.fault.v3.HTTPFault";
    const auto message = Parse<envoy::extensions::filters::http::fault::v3::HTTPFault>(text);
    auto filter = Compile(type, message.SerializeAsString());
    EXPECT_TRUE(filter.ok()) << filter.status();
    return *filter;
  }

  Names names_;
  HttpProcess process_{"sidecar~1.2.3.4~me.ns~x",
                       R"({"NAME":"me-1","NAMESPACE":"ns","WORKLOAD_NAME":"me","CLUSTER_ID":"k",
                           "SERVICE_ACCOUNT":"acc","LABELS":{"app":"me","version":"v1"}})"};
  ChainContext chain_{names_, names_, "l", Direction::kOutbound, false};
  FakeFilterStream stream_;
};

TEST_F(FilterTest, UnknownFiltersAndPoliciesAreRefused) {
  for (const char* type : {"envoy.extensions.filters.http.rbac.v3.RBAC",
                           "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                           "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", "what.Ever"}) {
    EXPECT_FALSE(Compile(type, "").ok()) << type;
  }
  const auto grpc_stats = Compile("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", "");
  ASSERT_TRUE(grpc_stats.ok());
  EXPECT_EQ(*grpc_stats, nullptr);
}

TEST_F(FilterTest, FaultsAreInertWithoutSettings) {
  EXPECT_EQ(Fault("")->OnRequest(stream_), HttpFilter::Verdict::kContinue);
}

TEST_F(FilterTest, FaultsDelayThenAbort) {
  const auto filter = Fault(R"(
      delay { fixed_delay { seconds: 2 } percentage { numerator: 100 } }
      abort { http_status: 555 percentage { numerator: 1000000 denominator: MILLION } })");
  EXPECT_EQ(filter->OnRequest(stream_), HttpFilter::Verdict::kPaused);
  EXPECT_EQ(stream_.pause, std::chrono::seconds(2));
  EXPECT_EQ(filter->OnResumed(stream_), HttpFilter::Verdict::kAnswered);
  EXPECT_EQ(stream_.status, 555);
  EXPECT_EQ(stream_.info().flags.Short(stream_.arena), "DI,FI");
}

TEST_F(FilterTest, FaultsMatchHeadersAndSharesOfRequests) {
  const auto filter = Fault(R"(
      headers { name: "end-user" string_match { exact: "jason" } }
      abort { grpc_status: 14 percentage { numerator: 30 } })");
  EXPECT_EQ(filter->OnRequest(stream_), HttpFilter::Verdict::kContinue);
  stream_.request.headers.Add("end-user", "jason");
  int aborted = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    stream_.info().random = routing::Mix(i, 5);
    aborted += filter->OnRequest(stream_) == HttpFilter::Verdict::kAnswered;
  }
  EXPECT_NEAR(aborted, 3000, 200);
  EXPECT_EQ(stream_.grpc_status, 14);
}

TEST_F(FilterTest, CorsAnswersPreflightsOfAllowedOriginsOnly) {
  const auto cors = *Compile("envoy.extensions.filters.http.cors.v3.Cors", "");
  const auto policy = Parse<envoy::extensions::filters::http::cors::v3::CorsPolicy>(R"(
      allow_origin_string_match { exact: "https://good" }
      allow_methods: "GET,POST" max_age: "60" allow_credentials { value: true })");
  const auto compiled =
      CompileFilterOverride("envoy.filters.http.cors",
                            "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
                            policy.SerializeAsString());
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  stream_.override_config = (*compiled)->config;
  stream_.request.method = "OPTIONS";
  stream_.request.headers.Add(http::HeaderId::kOrigin, "https://good");
  stream_.request.headers.Add("access-control-request-method", "POST");
  EXPECT_EQ(cors->OnRequest(stream_), HttpFilter::Verdict::kAnswered);
  EXPECT_EQ(stream_.status, 200);
  cors->OnResponse(stream_);
  EXPECT_EQ(*stream_.response.headers.Find("access-control-allow-origin"), "https://good");
  EXPECT_EQ(*stream_.response.headers.Find("access-control-allow-methods"), "GET,POST");
  EXPECT_EQ(*stream_.response.headers.Find("access-control-allow-credentials"), "true");

  FakeFilterStream stranger;
  stranger.override_config = (*compiled)->config;
  stranger.request.headers.Add(http::HeaderId::kOrigin, "https://bad");
  EXPECT_EQ(cors->OnRequest(stranger), HttpFilter::Verdict::kContinue);
  cors->OnResponse(stranger);
  EXPECT_EQ(stranger.response.headers.Find("access-control-allow-origin"), nullptr);
}

TEST_F(FilterTest, AlpnFollowsTheClientsProtocol) {
  // As Istio's control plane encodes it: three overrides.
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(
      "CiESDmlzdGlvLWh0dHAvMS4wEgVpc3RpbxIIaHR0cC8xLjAKIwgBEg5pc3Rpby1odHRwLzEuMRIFaXN0aW8SCGh0dHA"
      "vMS4xChcIAhIIaXN0aW8taDISBWlzdGlvEgJoMg==",
      &bytes));
  const auto filter = *Compile("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", bytes);
  stream_.request.protocol = http::Protocol::kHttp11;
  filter->OnRequest(stream_);
  ASSERT_EQ(stream_.info().upstream_alpn.size(), 3U);
  EXPECT_EQ(stream_.info().upstream_alpn[0], "istio-http/1.1");
  stream_.request.protocol = http::Protocol::kHttp2;
  filter->OnRequest(stream_);
  EXPECT_EQ(stream_.info().upstream_alpn[0], "istio-h2");
}

constexpr char kListOfHeaders[] =
    "{ list_value { values { struct_value { fields { key: 'istio_headers' value { struct_value {} "
    "} "
    "} } } } }";

std::string ListField(const std::string& name) {
  return "fields { key: '" + name + "' value " + kListOfHeaders + "}";
}

TEST_F(FilterTest, PeersExchangeMetadataAndTheAppSeesNoneOfIt) {
  const auto client =
      CompileStruct("io.istio.http.peer_metadata.Config",
                    ListField("upstream_discovery") + ListField("upstream_propagation"));
  client->OnRequest(stream_);
  const std::string id(stream_.request.headers.Get(http::HeaderId::kXEnvoyPeerMetadataId));
  const std::string text(stream_.request.headers.Get(http::HeaderId::kXEnvoyPeerMetadata));
  EXPECT_EQ(id, process_.node_id);
  ASSERT_FALSE(text.empty());

  const auto server =
      CompileStruct("io.istio.http.peer_metadata.Config",
                    ListField("downstream_discovery") + ListField("downstream_propagation"));
  FakeFilterStream inbound;
  inbound.request.headers.Add(http::HeaderId::kXEnvoyPeerMetadataId, id);
  inbound.request.headers.Add(http::HeaderId::kXEnvoyPeerMetadata, text);
  server->OnRequest(inbound);
  ASSERT_NE(inbound.info().downstream_peer, nullptr);
  EXPECT_EQ(inbound.info().downstream_peer->workload, "me");
  EXPECT_EQ(inbound.info().downstream_peer->canonical_revision, "v1");
  EXPECT_EQ(inbound.request.headers.Find(http::HeaderId::kXEnvoyPeerMetadata), nullptr);
  server->OnResponse(inbound);
  EXPECT_EQ(inbound.response.headers.Get(http::HeaderId::kXEnvoyPeerMetadataId), id);

  // A client outside the mesh learns nothing.
  FakeFilterStream plain;
  server->OnRequest(plain);
  server->OnResponse(plain);
  EXPECT_EQ(plain.response.headers.Find(http::HeaderId::kXEnvoyPeerMetadata), nullptr);
}

TEST_F(FilterTest, MetadataThatIsNoneIsIgnored) {
  const auto server =
      CompileStruct("io.istio.http.peer_metadata.Config", ListField("downstream_discovery"));
  stream_.request.headers.Add(http::HeaderId::kXEnvoyPeerMetadataId, "x");
  stream_.request.headers.Add(http::HeaderId::kXEnvoyPeerMetadata, "!!!");
  server->OnRequest(stream_);
  EXPECT_EQ(stream_.info().downstream_peer, nullptr);
}

TEST_F(FilterTest, StatsCountWithIstiosLabels) {
  telemetry::Registry registry;
  telemetry::Recorder recorder(registry);
  stream_.worker.fake_recorder = &recorder;
  process_.metrics = &registry;
  const auto stats = CompileStruct("stats.PluginConfig", "");
  stream_.worker.fake_upstreams.cluster.service_host = "reviews.default.svc.cluster.local";
  stream_.worker.fake_upstreams.cluster.service_name = "reviews";
  stream_.worker.fake_upstreams.cluster.service_namespace = "default";
  stream_.info().upstream_workload = "reviews-v1;default;reviews;v1;k";
  stream_.info().upstream_uri_san = "spiffe://cluster.local/ns/default/sa/reviews";
  stream_.info().status = 200;
  stats->OnEnd(stream_.info());
  stats->OnEnd(stream_.info());
  const std::string text = registry.Prometheus();
  const auto line = text.find("istio_requests_total{");
  ASSERT_NE(line, std::string::npos) << text;
  const std::string found = text.substr(line, text.find('\n', line) - line);
  for (const char* part :
       {"reporter=\"source\"", "source_workload=\"me\"", "source_canonical_revision=\"v1\"",
        "source_principal=\"spiffe://cluster.local/ns/ns/sa/acc\"",
        "destination_workload=\"reviews-v1\"", "destination_service_name=\"reviews\"",
        "destination_service=\"reviews.default.svc.cluster.local\"",
        "destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\"",
        "request_protocol=\"http\"", "response_code=\"200\"", "grpc_response_status=\"\"",
        "response_flags=\"-\"", "connection_security_policy=\"unknown\"", "} 2"}) {
    EXPECT_NE(found.find(part), std::string::npos) << part << " in " << found;
  }
}

// -- the messages that carry the filters

constexpr char kRouter[] = R"(
  http_filters { name: "envoy.filters.http.router" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } })";

class CompileTest : public FilterTest {
 protected:
  Status CompileHcm(const std::string& text) {
    const auto message = Parse<
        envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager>(
        text);
    return HttpChainCompiler(process_)(message.SerializeAsString(), chain_).status();
  }
  Status CompileRoute(const std::string& route) {
    const auto message = Parse<envoy::config::route::v3::RouteConfiguration>(
        "name: 'r' virtual_hosts { name: 'v' domains: '*' routes {" + route + "} }");
    return CompileRoutes(message.SerializeAsString(), names_).status();
  }
};

TEST_F(CompileTest, TakesASidecarsChain) {
  const Status status = CompileHcm(std::string(R"(
    stat_prefix: "outbound_0.0.0.0_80;"
    rds { route_config_name: "80" config_source { ads {} } }
    http_filters { name: "envoy.filters.http.fault" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {} } }
    http_filters { name: "envoy.filters.http.cors" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors] {} } }
    access_log { name: "f" typed_config {
      [type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog] {
        path: "/dev/null" log_format { text_format_source { inline_string: "%PROTOCOL%\n" } } } } }
    upgrade_configs { upgrade_type: "websocket" }
    use_remote_address {} normalize_path { value: true })") +
                                   kRouter);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(CompileTest, RefusesChainsItCannotHonour) {
  EXPECT_FALSE(CompileHcm("rds { route_config_name: '80' }").ok()) << "no router";
  EXPECT_FALSE(CompileHcm(kRouter).ok()) << "no routes";
  EXPECT_FALSE(CompileHcm(std::string("scoped_routes {}") + kRouter).ok());
  const Status rbac = CompileHcm(std::string(R"(
    rds { route_config_name: "80" }
    http_filters { name: "envoy.filters.http.rbac" typed_config {
      type_url: "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC" } })") +
                                 kRouter);
  EXPECT_FALSE(rbac.ok());
  EXPECT_NE(Message(rbac).find("envoy.filters.http.rbac"), std::string_view::npos);
}

TEST_F(CompileTest, TakesTheRoutesIstioWrites) {
  const char* const routes[] = {
      R"(match { prefix: "/" } route { cluster: "c" timeout {} max_grpc_timeout {}
           retry_policy { retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
             num_retries { value: 2 } host_selection_retry_max_attempts: 5 retriable_status_codes: 503
             retry_host_predicate { name: "envoy.retry_host_predicates.previous_hosts" typed_config {
               type_url: "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" } } } })",
      R"(match { path: "/x" headers { name: "end-user" string_match { exact: "jason" } } }
         route { weighted_clusters { clusters { name: "a" weight { value: 80 } }
                                     clusters { name: "b" weight { value: 20 } } } })",
      R"(match { safe_regex { regex: "/a.*" } } redirect { host_redirect: "h" response_code: FOUND })",
      R"(match { path_separated_prefix: "/p" } direct_response { status: 503 body { inline_string: "x" } })",
      R"(match { prefix: "/" } route { cluster: "c" hash_policy { cookie { name: "u" ttl {} } }
           request_mirror_policies { cluster: "m" runtime_fraction { default_value { numerator: 50 } } } }
         request_headers_to_add { header { key: "x" value: "%REQ(:path)%" }
                                  append_action: OVERWRITE_IF_EXISTS_OR_ADD })",
      R"(match { prefix: "/" } route { cluster: "c" }
         typed_per_filter_config { key: "envoy.filters.http.fault" value {
           [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {
             abort { http_status: 500 percentage { numerator: 100 } } } } })",
  };
  for (const char* route : routes) {
    const Status status = CompileRoute(route);
    EXPECT_TRUE(status.ok()) << status << "\n" << route;
  }
}

TEST_F(CompileTest, RefusesRoutesNamingTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"match { safe_regex { regex: '(' } } route { cluster: 'c' }", "regular expression"},
      {"match { prefix: '/' } route { cluster: 'c' retry_policy { retry_on: 'maybe' } }", "maybe"},
      {"match { prefix: '/' } direct_response { status: 99 }", "99"},
      {"match { prefix: '/' } route { weighted_clusters { clusters { name: 'a' } } }", "sum"},
      {"match { prefix: '/' } route { cluster: 'c' } request_headers_to_add { header { key: 'x' "
       "value: '%WHAT%' } }",
       "WHAT"},
  };
  for (const auto& [route, part] : cases) {
    const Status status = CompileRoute(route);
    ASSERT_FALSE(status.ok()) << route;
    EXPECT_NE(Message(status).find(part), std::string_view::npos) << status;
    EXPECT_NE(Message(status).find("virtual host \"v\""), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace meltemi::proxy
