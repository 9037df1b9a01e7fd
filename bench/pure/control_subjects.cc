// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>
#include <utility>

#include "bench/pure/subject.h"
#include "lib/base/check.h"
#include "lib/telemetry/access_log_format.h"
#include "lib/telemetry/metrics.h"
#include "proxy/config/bootstrap.h"
#include "proxy/config/cluster_compiler.h"
#include "proxy/http/log_values.h"

namespace meltemi::bench {
namespace {

// A cluster as Istio writes it: endpoints by EDS, mutual TLS by SDS, HTTP/2.
constexpr std::string_view kCluster = R"(
static_resources:
  clusters:
  - name: outbound|9080|v1|reviews.default.svc.cluster.local
    type: EDS
    eds_cluster_config:
      eds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
      service_name: outbound|9080|v1|reviews.default.svc.cluster.local
    connect_timeout: 10s
    lb_policy: LEAST_REQUEST
    circuit_breakers:
      thresholds:
      - {max_connections: 1000, max_pending_requests: 1000, max_requests: 1000, max_retries: 3}
    outlier_detection: {consecutive_5xx: 7, interval: 30s, base_ejection_time: 30s}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 1000}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: outbound_.9080_.v1_.reviews.default.svc.cluster.local
        common_tls_context:
          alpn_protocols: [istio-peer-exchange, istio, h2]
          tls_certificate_sds_secret_configs:
          - {name: default, sds_config: {ads: {}, resource_api_version: V3}}
          combined_validation_context:
            default_validation_context:
              match_subject_alt_names:
              - exact: spiffe://cluster.local/ns/default/sa/bookinfo-reviews
            validation_context_sds_secret_config:
              name: ROOTCA
              sds_config: {ads: {}, resource_api_version: V3}
)";

struct CompileCluster {
  CompileCluster() {
    const auto bootstrap = proxy::ParseBootstrap(kCluster);
    MELTEMI_CHECK(bootstrap.ok());
    serialized = bootstrap->clusters.front().second;
  }
  void operator()() {
    const auto plan = proxy::CompileCluster(serialized);
    MELTEMI_CHECK(plan.ok() && (*plan)->secrets().size() == 2);
  }
  std::string serialized;
};

// One finished request, as its log sees it.
struct WriteLog {
  explicit WriteLog(telemetry::AccessLogFormat compiled) : format(std::move(compiled)) {
    facts.remote = *net::Address::Parse("10.1.2.3:43210");
    facts.local = *net::Address::Parse("10.96.0.7:9080");
    head.method = "GET";
    head.authority = "reviews.default.svc.cluster.local:9080";
    head.path = "/reviews/0?view=full";
    head.headers.Add("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    head.headers.Add("x-forwarded-for", "192.0.2.7");
    head.headers.Add("x-request-id", "3f1c2b6e-7d0a-9c5e-8f4b-1a2b3c4d5e6f");
    info.downstream = &facts;
    info.request = &head;
    info.arena = &arena;
    info.cluster_name = "outbound|9080||reviews.default.svc.cluster.local";
    info.upstream_address = *net::Address::Parse("10.1.9.9:9080");
    info.status = 200;
    info.details = "via_upstream";
    info.response_body_bytes = 1024;
    info.start_wall = WallTime(std::chrono::milliseconds(1'700'000'000'123));
    info.start = MonotonicTime(std::chrono::milliseconds(1000));
    info.upstream_start = info.start + std::chrono::milliseconds(1);
    info.response_start = info.start + std::chrono::milliseconds(8);
    info.end = info.start + std::chrono::milliseconds(9);
  }
  void operator()() {
    arena.Reset();
    line.clear();
    format.Run(proxy::StreamLogValues(info), line);
    MELTEMI_CHECK(line.size() > 200);
  }
  telemetry::AccessLogFormat format;
  proxy::DownstreamFacts facts;
  Arena arena;
  http::RequestHead head{arena};
  proxy::StreamInfo info;
  std::string line;
};

telemetry::AccessLogFormat JsonFormat() {
  return *telemetry::AccessLogFormat::CompileJson({
      {"start_time", "%START_TIME%"},
      {"method", "%REQ(:METHOD)%"},
      {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
      {"response_code", "%RESPONSE_CODE%"},
      {"response_flags", "%RESPONSE_FLAGS%"},
      {"bytes_sent", "%BYTES_SENT%"},
      {"duration", "%DURATION%"},
      {"user_agent", "%REQ(USER-AGENT)%"},
      {"authority", "%REQ(:AUTHORITY)%"},
      {"upstream_host", "%UPSTREAM_HOST%"},
      {"upstream_cluster", "%UPSTREAM_CLUSTER%"},
  });
}

// Ten families of counters with ten series each, and a histogram with ten.
struct Metrics {
  Metrics() {
    for (int family = 0; family <= 10; ++family) {
      telemetry::FamilyOptions options;
      options.name = "family_" + std::to_string(family) + "_total";
      options.help = "one of some";
      options.labels = {"source_workload", "response_code"};
      if (family == 10) options.type = telemetry::MetricType::kHistogram;
      telemetry::Family* const added = registry.Add(std::move(options));
      for (int series = 0; series < 10; ++series) {
        const std::string code = std::to_string(200 + series);
        const std::string_view labels[] = {"productpage-v1", code};
        telemetry::Series& found = recorder.Find(added, labels);
        family == 10 ? found.Observe(series * 7.5) : found.Add(1000 + series);
      }
    }
  }
  telemetry::Registry registry;
  telemetry::Recorder recorder{registry};
};

struct WritePrometheus : Metrics {
  void operator()() { MELTEMI_CHECK(registry.Prometheus().size() > 5000); }
};

struct WriteStats : Metrics {
  void operator()() { MELTEMI_CHECK(registry.Text().size() > 2000); }
};

struct CountRequest : Metrics {
  void operator()() {
    const std::string_view labels[] = {"productpage-v1", "200"};
    recorder.Find(family, labels).Add();
  }
  telemetry::Family* family = registry.Add({.name = "family_1_total", .help = "", .labels = {}});
};

}  // namespace

std::vector<Subject> ControlSubjects() {
  return {
      Measure<CompileCluster>("xds_compile_cluster"),
      Measure<WriteLog>("log_line_text",
                        *telemetry::AccessLogFormat::CompileText(telemetry::IstioTextFormat())),
      Measure<WriteLog>("log_line_json", JsonFormat()),
      Measure<CountRequest>("metrics_find_series"),
      Measure<WritePrometheus>("metrics_prometheus_110_series"),
      Measure<WriteStats>("metrics_text_110_series"),
  };
}

}  // namespace meltemi::bench
