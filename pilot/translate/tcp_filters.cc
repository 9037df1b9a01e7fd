// SPDX-License-Identifier: Apache-2.0
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "pilot/translate/access_log.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/http_filters.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"

namespace meltemi::pilot {
namespace {

using Envoy = envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

void SetTargets(const TcpProxy& settings, Envoy& to) {
  if (settings.weighted_clusters.empty()) {
    to.set_cluster(settings.cluster);
    return;
  }
  for (const auto& [name, weight] : settings.weighted_clusters) {
    auto& cluster = *to.mutable_weighted_clusters()->add_clusters();
    cluster.set_name(name);
    cluster.set_weight(weight);
  }
}

// The part of the destination's rule that concerns the downstream connection. Istio takes it from
// the rule as a whole, not from its port or subset.
void SetPolicy(Reader& reader, const ProxyFacts& proxy, const TcpProxy& settings, Envoy& to) {
  const auto name = ClusterName::Parse(settings.weighted_clusters.empty()
                                           ? settings.cluster
                                           : settings.weighted_clusters.front().first);
  if (!name || name->is_inbound) return;
  const ServicePtr service = reader.FindService(proxy.ns, name->host);
  if (service == nullptr) return;
  const DestinationPolicyPtr policy = reader.Policy(proxy.ns, service->key());
  if (policy == nullptr) return;
  const auto& tcp = policy->policy.connection_pool().tcp();
  if (tcp.has_idle_timeout()) *to.mutable_idle_timeout() = tcp.idle_timeout();
  if (tcp.has_max_connection_duration()) {
    *to.mutable_max_downstream_connection_duration() = tcp.max_connection_duration();
  }
  if (policy->policy.load_balancer().consistent_hash().use_source_ip()) {
    to.add_hash_policy()->mutable_source_ip();
  }
}

}  // namespace

void AddTcpProxy(Reader& reader, const ProxyFacts& proxy, const TcpProxy& settings,
                 envoy::config::listener::v3::FilterChain& chain) {
  if (settings.direction == Direction::kInbound && proxy.has_istio_filters) {
    auto& exchange = *chain.add_filters();
    exchange.set_name("istio.metadata_exchange");
    *exchange.mutable_typed_config() = ConnectionMetadataExchange();
  }
  if (HasStats(reader, proxy)) {
    auto& stats = *chain.add_filters();
    stats.set_name("istio.stats");
    *stats.mutable_typed_config() = StatsConfig(settings.direction);
  }
  Envoy proxying;
  proxying.set_stat_prefix(settings.stat_prefix);
  SetTargets(settings, proxying);
  if (settings.direction != Direction::kInbound) SetPolicy(reader, proxy, settings, proxying);
  AddAccessLogs(*reader.Mesh(), *proxying.mutable_access_log());
  auto& filter = *chain.add_filters();
  filter.set_name("envoy.filters.network.tcp_proxy");
  Pack(proxying, *filter.mutable_typed_config());
}

}  // namespace meltemi::pilot
