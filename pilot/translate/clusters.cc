// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <set>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "pilot/translate/cluster_tls.h"
#include "pilot/translate/endpoints.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::cluster::v3;
using HttpOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using istio::networking::v1::TrafficPolicy;

// Where proxied inbound connections come from: the capture rules let them pass, so that they do
// not come back in.
constexpr std::string_view kInboundSource = "127.0.0.6";
// Istio's value for "never", the greatest duration it can write.
constexpr int64_t kNeverSeconds = 9223372035;
constexpr int64_t kPassthroughIdleSeconds = 300;
constexpr uint32_t kDnsQueriesMax = 100;          // over one socket, against exhausted ports
constexpr int32_t kDnsJitterNanos = 100'000'000;  // spreads the lookups of a fleet
constexpr int64_t kDnsRefreshSecondsElse = 60;    // mesh config's default

// alt_stat_name ends in ";" so that Istio's bootstrap can cut it out of statistics' names.
std::unique_ptr<v3::Cluster> NewCluster(std::string_view name, std::string_view stat_name) {
  auto cluster = std::make_unique<v3::Cluster>();
  cluster->set_name(std::string(name));
  cluster->set_alt_stat_name(std::string(stat_name) + ";");
  return cluster;
}

void AddMetadataExchange(const ProxyFacts& proxy, v3::Cluster& cluster) {
  if (!proxy.has_istio_filters) return;
  auto& filter = *cluster.add_filters();
  filter.set_name("istio.metadata_exchange");
  *filter.mutable_typed_config() = ConnectionMetadataExchange();
}

google::protobuf::Struct& IstioMetadata(v3::Cluster& cluster) {
  return (*cluster.mutable_metadata()->mutable_filter_metadata())["istio"];
}

void SetInboundSource(v3::Cluster& cluster) {
  auto& source = *cluster.mutable_upstream_bind_config()->mutable_source_address();
  source.set_address(std::string(kInboundSource));
  source.set_port_value(0);
}

std::unique_ptr<v3::Cluster> BlackHole(Reader& reader) {
  auto cluster = NewCluster(kBlackHole, kBlackHole);
  cluster->set_type(v3::Cluster::STATIC);
  SetConnectionPool(*reader.Mesh(), {}, *cluster);
  cluster->clear_circuit_breakers();
  cluster->clear_upstream_connection_options();
  return cluster;
}

// To wherever the client wanted to go, in or out.
std::unique_ptr<v3::Cluster> Passthrough(Reader& reader, const ProxyFacts& proxy,
                                         std::string_view name) {
  auto cluster = NewCluster(name, kPassthroughCluster);
  cluster->set_type(v3::Cluster::ORIGINAL_DST);
  cluster->set_lb_policy(v3::Cluster::CLUSTER_PROVIDED);
  SetConnectionPool(*reader.Mesh(), {}, *cluster);
  TrafficPolicy idle;
  idle.mutable_connection_pool()->mutable_http()->mutable_idle_timeout()->set_seconds(
      kPassthroughIdleSeconds);
  HttpSettings http;
  http.protocol = UpstreamHttp::kLikeDownstream;
  SetHttpOptions(idle, http, *cluster);
  if (name == kInboundPassthrough) {
    SetInboundSource(*cluster);
  } else {
    AddMetadataExchange(proxy, *cluster);
  }
  return cluster;
}

// Services that share a port of the workload share the cluster; the oldest decides.
std::unique_ptr<v3::Cluster> Inbound(Reader& reader, const ProxyFacts& proxy,
                                     const ClusterName& name) {
  const auto ports = reader.InboundPortsOf(proxy);
  const InboundPort* first = nullptr;
  auto cluster = NewCluster(name.text(), name.text());
  std::set<ServiceKey> seen;
  for (const InboundPort& port : *ports) {
    if (port.target_port != name.port || port.port.protocol == Protocol::kUdp) continue;
    if (first == nullptr) first = &port;
    if (seen.insert(port.service->key()).second) {
      AddServiceFacts(*port.service, IstioMetadata(*cluster));
    }
  }
  if (first == nullptr) return nullptr;
  cluster->set_type(v3::Cluster::ORIGINAL_DST);
  cluster->set_lb_policy(v3::Cluster::CLUSTER_PROVIDED);
  cluster->mutable_cleanup_interval()->set_seconds(kNeverSeconds);
  cluster->mutable_common_lb_config();
  SetInboundSource(*cluster);

  TrafficPolicy policy;  // of the connection pool only: the rest is the client's side
  if (const auto rule = reader.Policy(proxy.ns, first->service->key()); rule != nullptr) {
    // A rule of subsets alone says nothing of this side.
    if (!rule->origins.empty() && rule->policy.ByteSizeLong() > 0) {
      SetText("config", OriginPath(rule->origins.front()), IstioMetadata(*cluster));
    }
    *policy.mutable_connection_pool() =
        PolicyOfPort(rule->policy, first->port.number).connection_pool();
  }
  SetConnectionPool(*reader.Mesh(), policy, *cluster);
  // Whether to upgrade is the client's choice, the app speaks what its port declares.
  policy.mutable_connection_pool()->mutable_http()->clear_h2_upgrade_policy();
  HttpSettings http;
  http.protocol = UpstreamHttpOf(first->port.protocol, policy, true);
  SetHttpOptions(policy, http, *cluster);
  return cluster;
}

// CaresDnsResolverConfig, of which no code is generated: udp_max_queries = 5, a UInt32Value.
void SetResolver(v3::Cluster& cluster) {
  google::protobuf::UInt32Value queries;
  queries.set_value(kDnsQueriesMax);
  google::protobuf::UnknownFieldSet message;
  message.AddLengthDelimited(5, queries.SerializeAsString());
  auto& resolver = *cluster.mutable_typed_dns_resolver_config();
  resolver.set_name("envoy.network.dns_resolver.cares");
  resolver.mutable_typed_config()->set_type_url(
      "type.googleapis.com/"
      "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig");
  message.SerializeToString(resolver.mutable_typed_config()->mutable_value());
}

void SetDns(Reader& reader, const ProxyFacts& proxy, const OutboundTarget& target,
            v3::Cluster& cluster) {
  const auto mesh = reader.Mesh();
  cluster.set_type(target.service->resolution == Resolution::kDns ? v3::Cluster::STRICT_DNS
                                                                  : v3::Cluster::LOGICAL_DNS);
  cluster.set_dns_lookup_family(v3::Cluster::V4_ONLY);
  cluster.set_respect_dns_ttl(true);
  cluster.mutable_dns_jitter()->set_nanos(kDnsJitterNanos);
  if (mesh->has_dns_refresh_rate()) {
    *cluster.mutable_dns_refresh_rate() = mesh->dns_refresh_rate();
  } else {
    cluster.mutable_dns_refresh_rate()->set_seconds(kDnsRefreshSecondsElse);
  }
  SetResolver(cluster);
  cluster.mutable_load_assignment()->set_cluster_name(cluster.name());
  AddEndpoints(reader, proxy, target, *cluster.mutable_load_assignment());
}

void SetDiscovery(Reader& reader, const ProxyFacts& proxy, const OutboundTarget& target,
                  v3::Cluster& cluster) {
  const Service& service = *target.service;
  const bool is_dns =
      service.resolution == Resolution::kDns || service.resolution == Resolution::kDnsRoundRobin;
  if (is_dns) return SetDns(reader, proxy, target, cluster);
  // A router's clients did not address the service: there is no original destination.
  if (service.resolution == Resolution::kPassthrough && proxy.role == Role::kSidecar) {
    cluster.set_type(v3::Cluster::ORIGINAL_DST);
    const bool is_moved =
        target.port.target_number != 0 && target.port.target_number != target.port.number;
    if (!service.is_kubernetes && is_moved) {
      cluster.mutable_original_dst_lb_config()->mutable_upstream_port_override()->set_value(
          target.port.target_number);
    }
    return;
  }
  cluster.set_type(v3::Cluster::EDS);
  auto& eds = *cluster.mutable_eds_cluster_config();
  eds.set_service_name(cluster.name());
  SetAds(*eds.mutable_eds_config());
}

void SetMetadata(const OutboundTarget& target, const ClusterName& name, v3::Cluster& cluster) {
  auto& metadata = IstioMetadata(cluster);
  AddServiceFacts(*target.service, metadata);
  if (target.rule) SetText("config", OriginPath(*target.rule), metadata);
  if (!name.subset.empty()) SetText("subset", name.subset, metadata);
  if (target.service->is_external) (*metadata.mutable_fields())["external"].set_bool_value(true);
}

// Envoy refuses a LOGICAL_DNS cluster with any other number of endpoints, and with it the whole
// update.
bool IsRefusedByEnvoy(const v3::Cluster& cluster) {
  if (cluster.type() != v3::Cluster::LOGICAL_DNS) return false;
  const auto& localities = cluster.load_assignment().endpoints();
  return localities.size() != 1 || localities[0].lb_endpoints_size() != 1;
}

std::unique_ptr<v3::Cluster> Outbound(Reader& reader, const ProxyFacts& proxy,
                                      const ClusterName& name) {
  const auto target = FindTarget(reader, proxy.ns, name);
  if (!target) return nullptr;
  auto cluster = NewCluster(name.text(), name.text());
  SetDiscovery(reader, proxy, *target, *cluster);
  if (IsRefusedByEnvoy(*cluster)) return nullptr;
  SetMetadata(*target, name, *cluster);
  SetConnectionPool(*reader.Mesh(), target->policy, *cluster);
  SetOutlierDetection(target->policy, *cluster);
  SetLoadBalancer(target->policy, *cluster);
  HttpSettings http;
  http.protocol =
      UpstreamHttpOf(target->port.protocol, target->policy, proxy.role == Role::kSidecar);
  SetClientTls(reader, proxy, *target, name, http, *cluster);
  SetHttpOptions(target->policy, http, *cluster);
  AddMetadataExchange(proxy, *cluster);
  return cluster;
}

}  // namespace

Names ClusterNames(Reader& reader, const ProxyFacts& proxy) {
  std::set<std::string> names;
  names.emplace(kBlackHole);
  if (proxy.role == Role::kSidecar) {
    names.emplace(kPassthroughCluster);
    names.emplace(kInboundPassthrough);
    const auto inbound = reader.InboundPortsOf(proxy);
    for (const InboundPort& port : *inbound) {
      if (port.port.protocol == Protocol::kUdp) continue;
      names.insert(ClusterName{true, port.target_port, "", ""}.text());
    }
  }
  const auto services = reader.Services(proxy.ns);
  for (const ServicePtr& service : *services) {
    const DestinationPolicyPtr policy = reader.Policy(proxy.ns, service->key());
    for (const ServicePort& port : service->ports) {
      if (port.protocol == Protocol::kUdp) continue;
      ClusterName name{false, port.number, "", service->host};
      names.insert(name.text());
      if (policy == nullptr) continue;
      for (const auto& subset : policy->subsets) {
        name.subset = subset.name;
        names.insert(name.text());
      }
    }
  }
  return {names.begin(), names.end()};
}

std::unique_ptr<v3::Cluster> BuildCluster(Reader& reader, const ProxyFacts& proxy,
                                          const std::string& name) {
  const bool is_sidecar = proxy.role == Role::kSidecar;
  if (name == kBlackHole) return BlackHole(reader);
  if (is_sidecar && (name == kPassthroughCluster || name == kInboundPassthrough)) {
    return Passthrough(reader, proxy, name);
  }
  const auto parsed = ClusterName::Parse(name);
  if (!parsed) return nullptr;
  if (!parsed->is_inbound) return Outbound(reader, proxy, *parsed);
  return is_sidecar ? Inbound(reader, proxy, *parsed) : nullptr;
}

}  // namespace meltemi::pilot
