// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/endpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "pilot/translate/canonical.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::endpoint::v3;
namespace core = envoy::config::core::v3;
using istio::networking::v1::ClientTLSSettings;

bool HasLabels(const Endpoint& endpoint, const std::map<std::string, std::string>& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    const auto found = endpoint.labels.find(label.first);
    return found != endpoint.labels.end() && found->second == label.second;
  });
}

// How endpoints take connections, asked once for neighbours of one workload.
class TlsModes {
 public:
  TlsModes(Reader& reader, const OutboundTarget& target) : reader_(reader), target_(target) {}
  bool IsMutual(const Endpoint& endpoint) {
    if (!endpoint.has_mutual_tls) return false;
    if (target_.policy.has_tls()) {
      return target_.policy.tls().mode() == ClientTLSSettings::ISTIO_MUTUAL;
    }
    if (last_ == nullptr || last_->ns != endpoint.ns || last_->labels != endpoint.labels) {
      tls_ = reader_.TlsOf(endpoint.ns, endpoint.labels);
      last_ = &endpoint;
    }
    return tls_->ModeOf(endpoint.port) != MutualTls::kDisable;
  }

 private:
  Reader& reader_;
  const OutboundTarget& target_;
  const Endpoint* last_ = nullptr;
  std::shared_ptr<const InboundTls> tls_;
};

// "workload;namespace;canonical name;canonical revision;cluster": labels of metrics.
std::string WorkloadFacts(const Endpoint& endpoint) {
  std::string revision = CanonicalRevision(endpoint.labels);
  if (revision == kLatestRevision) revision.clear();
  return fmt::format("{};{};{};{};{}", endpoint.workload, endpoint.ns,
                     CanonicalName(endpoint.labels, endpoint.workload), revision,
                     endpoint.cluster_id);
}

void AddEndpoint(const Endpoint& from, bool is_mutual, v3::LbEndpoint& to) {
  SetAddress(from.address, from.port, *to.mutable_endpoint()->mutable_address());
  to.mutable_load_balancing_weight()->set_value(std::max(from.weight, 1U));
  if (from.is_draining) {
    to.set_health_status(core::DRAINING);
  } else if (!from.is_ready) {
    to.set_health_status(core::UNHEALTHY);
  }
  auto& metadata = *to.mutable_metadata()->mutable_filter_metadata();
  SetText("workload", WorkloadFacts(from), metadata["istio"]);
  if (is_mutual) SetText("tlsMode", "istio", metadata["envoy.transport_socket_match"]);
}

void SetLocality(const Locality& from, core::Locality& to) {
  to.set_region(from.region);
  to.set_zone(from.zone);
  to.set_sub_zone(from.sub_zone);
}

std::vector<const Endpoint*> Select(const EndpointList& all, const OutboundTarget& target) {
  // Where a share of healthy endpoints decides whether health counts at all, ones known to be bad
  // must not be part of the sum.
  const bool drops_unready = target.policy.outlier_detection().min_health_percent() > 0;
  std::vector<const Endpoint*> selected;
  selected.reserve(all.size());
  for (const Endpoint& endpoint : all) {
    if (endpoint.address.empty()) continue;
    if (drops_unready && !endpoint.is_ready && !endpoint.is_draining) continue;
    if (!HasLabels(endpoint, target.subset_labels)) continue;
    selected.push_back(&endpoint);
  }
  std::stable_sort(selected.begin(), selected.end(),
                   [](const Endpoint* a, const Endpoint* b) { return a->locality < b->locality; });
  return selected;
}

}  // namespace

void AddEndpoints(Reader& reader, const ProxyFacts&, const OutboundTarget& target,
                  v3::ClusterLoadAssignment& to) {
  const EndpointsPtr all = reader.Endpoints(target.service->key(), target.port.number);
  TlsModes modes(reader, target);
  v3::LocalityLbEndpoints* locality = nullptr;
  const Endpoint* before = nullptr;
  uint64_t weight = 0;
  for (const Endpoint* endpoint : Select(*all, target)) {
    if (before == nullptr || before->locality != endpoint->locality) {
      locality = to.add_endpoints();
      SetLocality(endpoint->locality, *locality->mutable_locality());
      weight = 0;
    }
    before = endpoint;
    AddEndpoint(*endpoint, modes.IsMutual(*endpoint), *locality->add_lb_endpoints());
    weight += std::max(endpoint->weight, 1U);
    locality->mutable_load_balancing_weight()->set_value(
        static_cast<uint32_t>(std::min<uint64_t>(weight, UINT32_MAX)));
  }
}

std::unique_ptr<v3::ClusterLoadAssignment> BuildEndpoints(Reader& reader, const ProxyFacts& proxy,
                                                          const std::string& cluster_name) {
  const auto name = ClusterName::Parse(cluster_name);
  if (!name) return nullptr;
  const auto target = FindTarget(reader, proxy.ns, *name);
  if (!target) return nullptr;
  auto assignment = std::make_unique<v3::ClusterLoadAssignment>();
  assignment->set_cluster_name(cluster_name);
  AddEndpoints(reader, proxy, *target, *assignment);
  return assignment;
}

}  // namespace meltemi::pilot
