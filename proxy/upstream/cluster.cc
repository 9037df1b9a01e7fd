// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/cluster.h"

#include <algorithm>
#include <numeric>

namespace meltemi::proxy {
namespace {

// A host is the same host while its address and name are (Envoy 1.39: a new hostname is a new
// host).
int CompareHosts(const HostInfo& a, const HostInfo& b) {
  if (a.address.family() != b.address.family())
    return a.address.family() < b.address.family() ? -1 : 1;
  if (!a.address.is_ip()) {
    if (const int order = a.address.text().compare(b.address.text())) return order;
  } else {
    if (const int order = a.address.ip_bytes().compare(b.address.ip_bytes())) return order;
    if (a.address.port() != b.address.port()) return a.address.port() < b.address.port() ? -1 : 1;
  }
  return a.hostname.compare(b.hostname);
}

bool IsSelected(const Transport& transport, const HostInfo& host) {
  return std::all_of(transport.match.begin(), transport.match.end(), [&](const auto& wanted) {
    return std::find(host.transport_match.begin(), host.transport_match.end(), wanted) !=
           host.transport_match.end();
  });
}

uint8_t SelectTransport(const ClusterConfig& config, const HostInfo& host) {
  for (size_t i = 0; i + 1 < config.transports.size(); ++i) {
    if (IsSelected(config.transports[i], host)) return static_cast<uint8_t>(i);
  }
  return static_cast<uint8_t>(config.transports.empty() ? 0 : config.transports.size() - 1);
}

}  // namespace

uint32_t EndpointSet::Find(const HostInfo& like) const {
  const auto at = std::lower_bound(by_key.begin(), by_key.end(), like,
                                   [this](uint32_t host, const HostInfo& value) {
                                     return CompareHosts(*hosts[host], value) < 0;
                                   });
  if (at == by_key.end() || CompareHosts(*hosts[*at], like) != 0) return balance::kNoHost;
  return *at;
}

StatusOr<std::shared_ptr<const EndpointSet>> BuildEndpoints(const ClusterConfig& config,
                                                            const Assignment& assignment) {
  auto set = std::make_shared<EndpointSet>();
  balance::HostSet hosts;
  hosts.localities = assignment.localities;
  for (const Endpoint& endpoint : assignment.endpoints) {
    const HostInfo& info = endpoint.info;
    set->hosts.push_back(std::make_shared<const HostInfo>(info));
    set->health.push_back(endpoint.health);
    set->weight.push_back(endpoint.weight);
    set->transport.push_back(SelectTransport(config, info));
    hosts.weight.push_back(endpoint.weight);
    hosts.health.push_back(endpoint.health);
    hosts.locality.push_back(static_cast<uint16_t>(endpoint.locality));
    const bool is_by_name = config.is_hashed_by_hostname && !info.hostname.empty();
    const bool is_hashing = config.balancing.policy == balance::Policy::kRingHash ||
                            config.balancing.policy == balance::Policy::kMaglev;
    if (!is_hashing) {
      hosts.hash_key.emplace_back();
    } else if (!endpoint.hash_key.empty()) {
      hosts.hash_key.push_back(endpoint.hash_key);
    } else {
      hosts.hash_key.push_back(is_by_name ? info.hostname : info.address.text());
    }
  }
  set->by_key.resize(set->hosts.size());
  std::iota(set->by_key.begin(), set->by_key.end(), 0U);
  std::sort(set->by_key.begin(), set->by_key.end(), [&](uint32_t a, uint32_t b) {
    return CompareHosts(*set->hosts[a], *set->hosts[b]) < 0;
  });
  balance::BalancerConfig balancing = config.balancing;
  balancing.overprovisioning_percent = assignment.overprovisioning_percent;
  MELTEMI_ASSIGN_OR_RETURN(set->balancer, balance::Build(hosts, balancing));
  return std::shared_ptr<const EndpointSet>(std::move(set));
}

}  // namespace meltemi::proxy
