// SPDX-License-Identifier: Apache-2.0
// DestinationRule. Istio's documented rules.
#include <set>
#include <string>

#include "lib/config/names.h"
#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

class DestinationRuleRules final {
 public:
  explicit DestinationRuleRules(const RuleContext& context) : check_(context.check) {}

  void CheckPolicy(const TrafficPolicy& policy, const FieldPath& path);

 private:
  // What a policy and its port-level settings have in common.
  template <typename Policy>
  void CheckParts(const Policy& policy, const FieldPath& path);
  void CheckPool(const ConnectionPoolSettings& pool, const FieldPath& path);
  void CheckTcpPool(const ConnectionPoolSettings::TCPSettings& tcp, const FieldPath& path);
  void CheckHttpPool(const ConnectionPoolSettings::HTTPSettings& http, const FieldPath& path);
  void CheckOutliers(const OutlierDetection& outliers, const FieldPath& path);
  void CheckTls(const ClientTLSSettings& tls, const FieldPath& path);

  const Checker& check_;
};

template <typename Policy>
void DestinationRuleRules::CheckParts(const Policy& policy, const FieldPath& path) {
  if (policy.has_load_balancer()) {
    ValidateLoadBalancer(policy.load_balancer(), path.Field("loadBalancer"), check_);
  }
  if (policy.has_connection_pool()) {
    CheckPool(policy.connection_pool(), path.Field("connectionPool"));
  }
  if (policy.has_outlier_detection()) {
    CheckOutliers(policy.outlier_detection(), path.Field("outlierDetection"));
  }
  if (policy.has_tls()) CheckTls(policy.tls(), path.Field("tls"));
}

void DestinationRuleRules::CheckPolicy(const TrafficPolicy& policy, const FieldPath& path) {
  CheckParts(policy, path);
  const FieldPath ports = path.Field("portLevelSettings"), tunnel = path.Field("tunnel");
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    const auto& settings = policy.port_level_settings(i);
    const FieldPath of_port = ports.Item(i);
    if (settings.has_port()) {
      const FieldPath port = of_port.Field("port");
      check_.Port(port.Field("number"), settings.port().number());
    } else {
      check_.Add(of_port.Field("port"), "missing; expected the port's number");
    }
    CheckParts(settings, of_port);
  }
  if (!policy.has_tunnel()) return;
  const std::string& protocol = policy.tunnel().protocol();
  if (!protocol.empty() && protocol != "CONNECT" && protocol != "POST") {
    check_.Add(tunnel.Field("protocol"), "unknown; expected CONNECT or POST");
  }
  const std::string& host = policy.tunnel().target_host();
  if (!IsFqdn(host) && !IsIpAddress(host)) {
    check_.Add(tunnel.Field("targetHost"), "no host; expected a name or an address");
  }
  check_.Port(tunnel.Field("targetPort"), policy.tunnel().target_port());
  if (policy.has_proxy_protocol()) {
    check_.Add(path.Field("proxyProtocol"), "beside tunnel; expected one of them");
  }
}

void DestinationRuleRules::CheckPool(const ConnectionPoolSettings& pool, const FieldPath& path) {
  if (!pool.has_tcp() && !pool.has_http()) check_.Add(path, "empty; expected tcp or http");
  if (pool.has_tcp()) CheckTcpPool(pool.tcp(), path.Field("tcp"));
  if (pool.has_http()) CheckHttpPool(pool.http(), path.Field("http"));
}

void DestinationRuleRules::CheckTcpPool(const ConnectionPoolSettings::TCPSettings& tcp,
                                        const FieldPath& path) {
  check_.AtLeastZero(path.Field("maxConnections"), tcp.max_connections());
  if (tcp.has_connect_timeout()) {
    check_.Duration(path.Field("connectTimeout"), tcp.connect_timeout());
  }
  if (tcp.has_max_connection_duration()) {
    check_.Duration(path.Field("maxConnectionDuration"), tcp.max_connection_duration());
  }
  // Zero turns the idle timeout off.
  if (tcp.idle_timeout().seconds() != 0 || tcp.idle_timeout().nanos() != 0) {
    check_.Duration(path.Field("idleTimeout"), tcp.idle_timeout());
  }
}

void DestinationRuleRules::CheckHttpPool(const ConnectionPoolSettings::HTTPSettings& http,
                                         const FieldPath& path) {
  check_.AtLeastZero(path.Field("http1MaxPendingRequests"), http.http1_max_pending_requests());
  check_.AtLeastZero(path.Field("http2MaxRequests"), http.http2_max_requests());
  check_.AtLeastZero(path.Field("maxRequestsPerConnection"), http.max_requests_per_connection());
  check_.AtLeastZero(path.Field("maxRetries"), http.max_retries());
  check_.AtLeastZero(path.Field("maxConcurrentStreams"), http.max_concurrent_streams());
  if (http.has_idle_timeout()) check_.Duration(path.Field("idleTimeout"), http.idle_timeout());
  if (http.use_client_protocol() &&
      http.h2_upgrade_policy() == ConnectionPoolSettings::HTTPSettings::UPGRADE) {
    check_.Add(path.Field("useClientProtocol"),
               "beside h2UpgradePolicy UPGRADE; expected one of them");
  }
  if (!http.has_http2_keep_alive()) return;
  const FieldPath keep_alive = path.Field("http2KeepAlive");
  const auto& settings = http.http2_keep_alive();
  if (!settings.has_interval() || !settings.has_timeout()) {
    check_.Add(keep_alive, "incomplete; expected interval and timeout");
    return;
  }
  check_.Duration(keep_alive.Field("interval"), settings.interval());
  check_.Duration(keep_alive.Field("timeout"), settings.timeout());
}

void DestinationRuleRules::CheckOutliers(const OutlierDetection& outliers, const FieldPath& path) {
  if (outliers.has_interval()) check_.Duration(path.Field("interval"), outliers.interval());
  if (outliers.has_base_ejection_time()) {
    check_.Duration(path.Field("baseEjectionTime"), outliers.base_ejection_time());
  }
  check_.Percent(path.Field("maxEjectionPercent"), outliers.max_ejection_percent());
  check_.Percent(path.Field("minHealthPercent"), outliers.min_health_percent());
  if (outliers.consecutive_local_origin_failures().value() > 0 &&
      !outliers.split_external_local_origin_errors()) {
    check_.Add(path.Field("consecutiveLocalOriginFailures"),
               "has no effect; expected splitExternalLocalOriginErrors: true beside it");
  }
}

void DestinationRuleRules::CheckTls(const ClientTLSSettings& tls, const FieldPath& path) {
  const bool is_mutual = tls.mode() == ClientTLSSettings::MUTUAL;
  const bool is_simple = tls.mode() == ClientTLSSettings::SIMPLE;
  if ((is_mutual || is_simple) && !tls.credential_name().empty()) {
    if (!tls.client_certificate().empty() || !tls.private_key().empty() ||
        !tls.ca_certificates().empty() || !tls.ca_crl().empty()) {
      check_.Add(path.Field("credentialName"), "beside files; expected one of them");
    }
  } else if (is_mutual && (tls.client_certificate().empty() || tls.private_key().empty())) {
    check_.Add(path,
               "MUTUAL without a certificate; expected credentialName, or clientCertificate "
               "and privateKey");
  }
  if (!tls.insecure_skip_verify().value()) return;
  const bool has_trust = !tls.ca_certificates().empty() || !tls.subject_alt_names().empty() ||
                         (is_simple && !tls.credential_name().empty());
  if (has_trust) {
    check_.Add(path.Field("insecureSkipVerify"),
               "beside what to verify with; expected false, or no CA and names");
  }
}

}  // namespace

void ValidateDestinationRule(const DestinationRule& rule, const RuleContext& context) {
  const Checker& check = context.check;
  const FieldPath& spec = context.spec;
  check.Host(spec.Field("host"), rule.host());
  DestinationRuleRules rules(context);
  if (rule.has_traffic_policy()) {
    rules.CheckPolicy(rule.traffic_policy(), spec.Field("trafficPolicy"));
  }
  std::set<std::string_view> names;
  const FieldPath subsets = spec.Field("subsets");
  for (int i = 0; i < rule.subsets_size(); ++i) {
    const Subset& subset = rule.subsets(i);
    const FieldPath path = subsets.Item(i);
    if (!IsDnsLabel(subset.name())) {
      check.Add(path.Field("name"), "no subset's name; expected at most 63 of a-z, 0-9 and -");
    } else if (!names.insert(subset.name()).second) {
      check.Add(path.Field("name"), "named twice; expected each subset once");
    }
    check.Labels(path.Field("labels"), subset.labels());
    if (subset.has_traffic_policy()) {
      rules.CheckPolicy(subset.traffic_policy(), path.Field("trafficPolicy"));
    }
  }
  const FieldPath selector = spec.Field("workloadSelector");
  check.LabelSelector(selector.Field("matchLabels"), rule.workload_selector().match_labels());
  check.ExportTo(spec.Field("exportTo"), rule.export_to(), context.ns, false);
}

}  // namespace meltemi::config
