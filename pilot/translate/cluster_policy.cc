// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/cluster_policy.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "pilot/translate/messages.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
namespace net = istio::networking::v1;
using HttpOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

constexpr uint32_t kUnlimited = UINT32_MAX;         // Istio's default of all circuit breakers
constexpr uint64_t kRingSizeMin = 1024;             // Istio's, Envoy's own default too
constexpr double kRetryBudgetPercent = 20;          // Envoy's default, which Istio writes out
constexpr uint32_t kRetryConcurrencyMin = 3;        // the same
constexpr double kWarmupMinPercent = 10;            // Istio's default of warmup.minimumPercent
constexpr double kWarmupAggression = 1;             // Istio's default of warmup.aggression
constexpr int64_t kConnectTimeoutSecondsElse = 10;  // mesh config's default

uint32_t Positive(int32_t value, uint32_t otherwise) {
  return value > 0 ? static_cast<uint32_t>(value) : otherwise;
}

void SetKeepalive(const net::ConnectionPoolSettings::TCPSettings::TcpKeepalive& from,
                  v3::Cluster& cluster) {
  auto& to = *cluster.mutable_upstream_connection_options()->mutable_tcp_keepalive();
  const auto set = [](int64_t value, google::protobuf::UInt32Value& field) {
    field.set_value(static_cast<uint32_t>(value));
  };
  if (from.probes() > 0) set(from.probes(), *to.mutable_keepalive_probes());
  if (from.has_time()) set(from.time().seconds(), *to.mutable_keepalive_time());
  if (from.has_interval()) set(from.interval().seconds(), *to.mutable_keepalive_interval());
}

void SetRetryBudget(const net::TrafficPolicy& policy,
                    envoy::config::cluster::v3::CircuitBreakers::Thresholds& thresholds) {
  if (!policy.has_retry_budget()) return;
  const auto& from = policy.retry_budget();
  auto& to = *thresholds.mutable_retry_budget();
  to.mutable_budget_percent()->set_value(from.has_percent() ? from.percent().value()
                                                            : kRetryBudgetPercent);
  to.mutable_min_retry_concurrency()->set_value(
      from.min_retry_concurrency() > 0 ? from.min_retry_concurrency() : kRetryConcurrencyMin);
}

// Returns whether anything was set.
bool SetCommonHttp(const net::ConnectionPoolSettings& pool, HttpOptions& to) {
  bool is_set = false;
  const auto& http = pool.http();
  if (http.has_idle_timeout()) {
    *to.mutable_common_http_protocol_options()->mutable_idle_timeout() = http.idle_timeout();
    is_set = true;
  }
  if (http.max_requests_per_connection() > 0) {
    to.mutable_common_http_protocol_options()->mutable_max_requests_per_connection()->set_value(
        static_cast<uint32_t>(http.max_requests_per_connection()));
    is_set = true;
  }
  if (pool.tcp().has_max_connection_duration()) {
    *to.mutable_common_http_protocol_options()->mutable_max_connection_duration() =
        pool.tcp().max_connection_duration();
    is_set = true;
  }
  return is_set;
}

void SetHttp2(const net::ConnectionPoolSettings::HTTPSettings& from,
              core::Http2ProtocolOptions& to) {
  if (from.max_concurrent_streams() > 0) {
    to.mutable_max_concurrent_streams()->set_value(
        static_cast<uint32_t>(from.max_concurrent_streams()));
  }
  if (from.has_http2_keep_alive()) {
    *to.mutable_connection_keepalive()->mutable_interval() = from.http2_keep_alive().interval();
    *to.mutable_connection_keepalive()->mutable_timeout() = from.http2_keep_alive().timeout();
  }
}

v3::Cluster::SlowStartConfig SlowStart(const net::LoadBalancerSettings& from) {
  v3::Cluster::SlowStartConfig to;
  const auto& warmup = from.warmup();
  *to.mutable_slow_start_window() =
      from.has_warmup() ? warmup.duration() : from.warmup_duration_secs();
  to.mutable_aggression()->set_default_value(warmup.has_aggression() ? warmup.aggression().value()
                                                                     : kWarmupAggression);
  // Envoy wants a key; nothing sets it.
  to.mutable_aggression()->set_runtime_key("upstream.slow_start.aggression");
  to.mutable_min_weight_percent()->set_value(
      warmup.has_minimum_percent() ? warmup.minimum_percent().value() : kWarmupMinPercent);
  return to;
}

void SetConsistentHash(const net::LoadBalancerSettings::ConsistentHashLB& from, v3::Cluster& to) {
  if (from.has_maglev()) {
    to.set_lb_policy(v3::Cluster::MAGLEV);
    if (from.maglev().table_size() > 0) {
      to.mutable_maglev_lb_config()->mutable_table_size()->set_value(from.maglev().table_size());
    }
    return;
  }
  uint64_t size = from.has_ring_hash() ? from.ring_hash().minimum_ring_size()
                                       : from.minimum_ring_size();  // the deprecated place
  if (size == 0) size = kRingSizeMin;
  to.set_lb_policy(v3::Cluster::RING_HASH);
  to.mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(size);
}

void SetSimple(const net::LoadBalancerSettings& from, v3::Cluster& to) {
  using Simple = net::LoadBalancerSettings;
  const bool has_warmup = from.has_warmup() || from.has_warmup_duration_secs();
  switch (from.simple()) {
    case Simple::RANDOM:
      to.set_lb_policy(v3::Cluster::RANDOM);
      return;
    case Simple::PASSTHROUGH:
      to.set_type(v3::Cluster::ORIGINAL_DST);
      to.set_lb_policy(v3::Cluster::CLUSTER_PROVIDED);
      to.clear_eds_cluster_config();
      to.clear_load_assignment();
      return;
    case Simple::ROUND_ROBIN:
      to.set_lb_policy(v3::Cluster::ROUND_ROBIN);
      if (has_warmup) {
        *to.mutable_round_robin_lb_config()->mutable_slow_start_config() = SlowStart(from);
      }
      return;
    default:
      to.set_lb_policy(v3::Cluster::LEAST_REQUEST);
      if (has_warmup) {
        *to.mutable_least_request_lb_config()->mutable_slow_start_config() = SlowStart(from);
      }
  }
}

bool IsLocalityWeighted(const net::TrafficPolicy& policy) {
  const auto& setting = policy.load_balancer().locality_lb_setting();
  if (!policy.load_balancer().has_locality_lb_setting()) return false;
  if (setting.has_enabled() && !setting.enabled().value()) return false;
  if (setting.distribute_size() > 0) return true;
  // Without ejection nothing ever fails over, so localities would only skew the load.
  return policy.has_outlier_detection() &&
         (setting.failover_size() > 0 || setting.failover_priority_size() > 0);
}

}  // namespace

UpstreamHttp UpstreamHttpOf(Protocol protocol, const net::TrafficPolicy& policy, bool can_detect) {
  const auto& http = policy.connection_pool().http();
  const bool is_detected = protocol == Protocol::kUnsupported && can_detect;
  if (is_detected || http.use_client_protocol()) return UpstreamHttp::kLikeDownstream;
  if (IsHttp2(protocol)) return UpstreamHttp::kHttp2;
  const bool is_upgraded =
      http.h2_upgrade_policy() == net::ConnectionPoolSettings::HTTPSettings::UPGRADE;
  return is_upgraded ? UpstreamHttp::kHttp2 : UpstreamHttp::kHttp1;
}

void SetConnectionPool(const istio::mesh::v1alpha1::MeshConfig& mesh,
                       const net::TrafficPolicy& policy, v3::Cluster& cluster) {
  const auto& tcp = policy.connection_pool().tcp();
  const auto& http = policy.connection_pool().http();
  if (tcp.has_connect_timeout()) {
    *cluster.mutable_connect_timeout() = tcp.connect_timeout();
  } else if (mesh.has_connect_timeout()) {
    *cluster.mutable_connect_timeout() = mesh.connect_timeout();
  } else {
    cluster.mutable_connect_timeout()->set_seconds(kConnectTimeoutSecondsElse);
  }
  auto& limits = *cluster.mutable_circuit_breakers()->add_thresholds();
  limits.mutable_max_connections()->set_value(Positive(tcp.max_connections(), kUnlimited));
  limits.mutable_max_pending_requests()->set_value(
      Positive(http.http1_max_pending_requests(), kUnlimited));
  limits.mutable_max_requests()->set_value(Positive(http.http2_max_requests(), kUnlimited));
  limits.mutable_max_retries()->set_value(Positive(http.max_retries(), kUnlimited));
  SetRetryBudget(policy, limits);
  if (mesh.has_tcp_keepalive()) SetKeepalive(mesh.tcp_keepalive(), cluster);
  if (tcp.has_tcp_keepalive()) SetKeepalive(tcp.tcp_keepalive(), cluster);
}

void SetHttpOptions(const net::TrafficPolicy& policy, const HttpSettings& settings,
                    v3::Cluster& cluster) {
  HttpOptions options;
  bool is_needed = SetCommonHttp(policy.connection_pool(), options);
  if (settings.has_automatic_sni || settings.has_automatic_san_validation) {
    auto& upstream = *options.mutable_upstream_http_protocol_options();
    upstream.set_auto_sni(settings.has_automatic_sni);
    upstream.set_auto_san_validation(settings.has_automatic_san_validation);
    is_needed = true;
  }
  switch (settings.protocol) {
    case UpstreamHttp::kHttp2:
      SetHttp2(policy.connection_pool().http(),
               *options.mutable_explicit_http_config()->mutable_http2_protocol_options());
      break;
    case UpstreamHttp::kLikeDownstream:
      options.mutable_use_downstream_protocol_config()->mutable_http_protocol_options();
      options.mutable_use_downstream_protocol_config()->mutable_http2_protocol_options();
      break;
    case UpstreamHttp::kHttp1:
      if (!is_needed) return;
      options.mutable_explicit_http_config()->mutable_http_protocol_options();
  }
  Pack(options, (*cluster.mutable_typed_extension_protocol_options())[std::string(
                    HttpOptions::descriptor()->full_name())]);
}

void SetOutlierDetection(const net::TrafficPolicy& policy, v3::Cluster& cluster) {
  auto& threshold = *cluster.mutable_common_lb_config()->mutable_healthy_panic_threshold();
  if (!policy.has_outlier_detection()) return;
  const auto& from = policy.outlier_detection();
  if (from.min_health_percent() > 0) threshold.set_value(from.min_health_percent());
  auto& to = *cluster.mutable_outlier_detection();
  // Istio ejects by consecutive errors only.
  to.mutable_enforcing_success_rate()->set_value(0);
  if (from.has_interval()) *to.mutable_interval() = from.interval();
  if (from.has_base_ejection_time()) *to.mutable_base_ejection_time() = from.base_ejection_time();
  if (from.max_ejection_percent() > 0) {
    to.mutable_max_ejection_percent()->set_value(
        static_cast<uint32_t>(from.max_ejection_percent()));
  }
  if (from.has_consecutive_5xx_errors()) {
    const uint32_t count = from.consecutive_5xx_errors().value();
    to.mutable_consecutive_5xx()->set_value(count);
    to.mutable_enforcing_consecutive_5xx()->set_value(count > 0 ? 100 : 0);
  }
  if (from.has_consecutive_gateway_errors()) {
    const uint32_t count = from.consecutive_gateway_errors().value();
    to.mutable_consecutive_gateway_failure()->set_value(count);
    to.mutable_enforcing_consecutive_gateway_failure()->set_value(count > 0 ? 100 : 0);
  }
  if (!from.split_external_local_origin_errors()) return;
  to.set_split_external_local_origin_errors(true);
  to.mutable_enforcing_local_origin_success_rate()->set_value(0);
  if (from.has_consecutive_local_origin_failures()) {
    const uint32_t count = from.consecutive_local_origin_failures().value();
    to.mutable_consecutive_local_origin_failure()->set_value(count);
    to.mutable_enforcing_consecutive_local_origin_failure()->set_value(count > 0 ? 100 : 0);
  }
}

void SetLoadBalancer(const net::TrafficPolicy& policy, v3::Cluster& cluster) {
  if (cluster.type() == v3::Cluster::ORIGINAL_DST) {
    cluster.set_lb_policy(v3::Cluster::CLUSTER_PROVIDED);
    return;
  }
  if (IsLocalityWeighted(policy)) {
    cluster.mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  }
  if (policy.load_balancer().has_consistent_hash()) {
    SetConsistentHash(policy.load_balancer().consistent_hash(), cluster);
  } else {
    SetSimple(policy.load_balancer(), cluster);
  }
}

}  // namespace meltemi::pilot
