// SPDX-License-Identifier: Apache-2.0
// istio.stats (stats.PluginConfig): Istio's standard HTTP metrics, with the labels dashboards key
// on. Label text is put together once per combination and worker; after that a request costs one
// look-up.
#include <google/protobuf/struct.pb.h>

#include <array>

#include "absl/container/flat_hash_map.h"
#include "lib/base/log.h"
#include "lib/telemetry/metrics.h"
#include "proxy/filters/istio_labels.h"
#include "proxy/filters/registry.h"
#include "proxy/http/node_facts.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

using google::protobuf::Struct;

constexpr size_t kWorkersMax = 256;
constexpr size_t kCombinationsMax = 10'000;  // per worker; the cache begins anew beyond

// "spiffe://domain" of the peer with our own path behind it.
std::string OwnPrincipal(std::string_view peer, const std::string& identity_path) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!peer.starts_with(kScheme) || identity_path.empty()) return {};
  return std::string(peer.substr(0, peer.find('/', kScheme.size()))) + identity_path;
}

struct Families {
  telemetry::Family* requests;
  telemetry::Family* duration;
  telemetry::Family* request_bytes;
  telemetry::Family* response_bytes;
};

Families AddFamilies(telemetry::Registry& registry) {
  const auto add = [&](const char* name, const char* help, telemetry::MetricType type) {
    telemetry::FamilyOptions options;
    options.name = name;
    options.help = help;
    options.type = type;
    options.labels = LabelNames(kLabels);
    return registry.Add(std::move(options));
  };
  using Type = telemetry::MetricType;
  return {
      add("istio_requests_total", "Requests handled.", Type::kCounter),
      add("istio_request_duration_milliseconds", "Time from first to last byte.", Type::kHistogram),
      add("istio_request_bytes", "Size of requests, headers included.", Type::kHistogram),
      add("istio_response_bytes", "Size of responses, headers included.", Type::kHistogram)};
}

class StatsFilter final : public HttpFilter {
 public:
  StatsFilter(telemetry::Registry& registry, NodeFacts node, bool is_inbound, bool uses_host_header)
      : families_(AddFamilies(registry)),
        node_(std::move(node)),
        is_inbound_(is_inbound),
        uses_host_header_(uses_host_header) {}
  uint8_t hooks() const override { return kEnd; }

  void OnEnd(const StreamInfo& info) const override {
    const uint32_t index = info.worker->index();
    if (index >= kWorkersMax || info.worker->recorder() == nullptr) return;
    std::unique_ptr<PerWorker>& state = workers_[index];
    if (state == nullptr) state = std::make_unique<PerWorker>();
    const Entry& entry = Find(*state, info);
    entry.requests->Add(1);
    const std::chrono::duration<double, std::milli> took = info.end - info.start;
    entry.duration->Observe(took.count());
    entry.request_bytes->Observe(
        static_cast<double>(info.request_head_bytes + info.request_body_bytes));
    entry.response_bytes->Observe(
        static_cast<double>(info.response_head_bytes + info.response_body_bytes));
  }

 private:
  struct Entry {
    telemetry::Series* requests;
    telemetry::Series* duration;
    telemetry::Series* request_bytes;
    telemetry::Series* response_bytes;
    // Part of the key by address: kept, so that no other peer gets it.
    std::shared_ptr<const PeerInfo> downstream_peer, upstream_peer;
  };
  struct PerWorker {
    absl::flat_hash_map<std::string, Entry> entries;
    std::string key;
  };

  const Entry& Find(PerWorker& state, const StreamInfo& info) const {
    BuildKey(info, state.key);
    const auto it = state.entries.find(state.key);
    if (it != state.entries.end()) return it->second;
    if (state.entries.size() >= kCombinationsMax) state.entries.clear();
    const Labels labels = LabelsOf(info);
    std::array<std::string_view, kLabels> views;
    for (size_t i = 0; i < kLabels; ++i) views[i] = labels[i];
    telemetry::Recorder& recorder = *info.worker->recorder();
    Entry entry{&recorder.Find(families_.requests, views),
                &recorder.Find(families_.duration, views),
                &recorder.Find(families_.request_bytes, views),
                &recorder.Find(families_.response_bytes, views),
                info.downstream_peer,
                info.upstream_peer};
    return state.entries.emplace(state.key, std::move(entry)).first->second;
  }

  // Everything the labels are made of that can differ between two requests of this chain.
  void BuildKey(const StreamInfo& info, std::string& key) const {
    struct Fixed {
      const PeerInfo* downstream_peer;
      const PeerInfo* upstream_peer;
      uint32_t flags;
      int32_t status;
      uint32_t is_grpc;
      uint32_t is_mutual_tls;
    };
    const Fixed fixed{info.downstream_peer.get(),
                      info.upstream_peer.get(),
                      info.flags.bits(),
                      info.status,
                      info.is_grpc,
                      info.downstream->is_mutual_tls};
    key.assign(reinterpret_cast<const char*>(&fixed), sizeof fixed);
    const auto add = [&key](std::string_view part) {
      key.append(part);
      key.push_back('\0');
    };
    add(info.cluster_name);
    add(info.grpc_status);
    add(info.downstream->peer_uri_san());
    add(info.upstream_uri_san);
    add(info.upstream_workload);
    if (info.cluster_info != nullptr) add(info.cluster_info->service_host);
    if (UsesHostHeader(info)) add(info.request->authority);
  }

  bool UsesHostHeader(const StreamInfo& info) const {
    return !is_inbound_ && uses_host_header_ &&
           (info.cluster_info == nullptr || info.cluster_info->service_host.empty());
  }

  Labels LabelsOf(const StreamInfo& info) const {
    Labels labels;
    labels[kReporter] = is_inbound_ ? "destination" : "source";
    if (is_inbound_) {
      PutInbound(info, labels);
    } else {
      PutOutbound(info, labels);
    }
    labels[kRequestProtocol] = info.is_grpc ? "grpc" : "http";
    labels[kResponseCode] = std::to_string(info.status);
    labels[kGrpcResponseStatus] = info.is_grpc ? std::string(info.grpc_status) : std::string();
    labels[kResponseFlags] = std::string(info.flags.Short(*info.arena));
    FillUnknown(labels);
    return labels;
  }

  void PutInbound(const StreamInfo& info, Labels& labels) const {
    const std::string_view principal = info.downstream->peer_uri_san();
    if (info.downstream_peer != nullptr) PutSource(PartyOf(*info.downstream_peer), labels);
    if (const std::string proven = NamespaceOf(principal); !proven.empty()) {
      labels[kSourceNamespace] = proven;
    }
    PutDestination(PartyOf(node_), labels);
    labels[kSourcePrincipal] = principal;
    labels[kDestinationPrincipal] = info.downstream->local_uri_san();
    const ClusterInfo* cluster = info.cluster_info;
    const bool is_known = cluster != nullptr && !cluster->service_host.empty();
    labels[kDestinationService] = is_known ? cluster->service_host : node_.canonical_service;
    labels[kDestinationServiceName] = is_known ? cluster->service_name : node_.canonical_service;
    labels[kDestinationServiceNamespace] =
        is_known ? cluster->service_namespace : node_.workload_namespace;
    labels[kConnectionSecurityPolicy] = info.downstream->is_mutual_tls ? "mutual_tls" : "none";
  }

  void PutOutbound(const StreamInfo& info, Labels& labels) const {
    PutSource(PartyOf(node_), labels);
    if (info.upstream_peer != nullptr) {
      PutDestination(PartyOf(*info.upstream_peer), labels);
    } else if (!info.upstream_workload.empty()) {
      PutDestination(PartyOfEndpoint(info.upstream_workload), labels);
    }
    if (const std::string proven = NamespaceOf(info.upstream_uri_san); !proven.empty()) {
      labels[kDestinationNamespace] = proven;
    }
    labels[kSourcePrincipal] = OwnPrincipal(info.upstream_uri_san, node_.identity_path);
    labels[kDestinationPrincipal] = std::string(info.upstream_uri_san);
    PutService(info, labels);
    labels[kConnectionSecurityPolicy] = "unknown";
  }

  void PutService(const StreamInfo& info, Labels& labels) const {
    const ClusterInfo* cluster = info.cluster_info;
    if (cluster != nullptr && !cluster->service_host.empty()) {
      labels[kDestinationService] = cluster->service_host;
      labels[kDestinationServiceName] = cluster->service_name;
      labels[kDestinationServiceNamespace] = cluster->service_namespace;
      return;
    }
    if (UsesHostHeader(info)) labels[kDestinationService] = std::string(info.request->authority);
    const std::string_view host =
        info.route.host == nullptr ? std::string_view() : info.route.host->name;
    if (host == "allow_any") {
      labels[kDestinationServiceName] = "PassthroughCluster";
    } else if (host == "block_all") {
      labels[kDestinationServiceName] = "BlackHoleCluster";
    } else {
      const std::string& service = labels[kDestinationService];
      labels[kDestinationServiceName] = service.substr(0, service.find_first_of(".:"));
    }
  }

  const Families families_;
  const NodeFacts node_;
  const bool is_inbound_;
  const bool uses_host_header_;
  // One per worker, touched by that worker only.
  mutable std::array<std::unique_ptr<PerWorker>, kWorkersMax> workers_;
};

StatusOr<std::shared_ptr<const HttpFilter>> Create(std::string_view serialized,
                                                   const FilterContext& context) {
  if (context.process.metrics == nullptr) return std::shared_ptr<const HttpFilter>();
  Struct from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a struct");
  }
  const auto& fields = from.fields();
  if (fields.contains("metrics") || fields.contains("definitions")) {
    // Refusing would take the whole listener down for want of a label.
    MELTEMI_LOG(warn, "istio.stats: changes to metrics and labels are not applied");
  }
  const auto fallback = fields.find("disable_host_header_fallback");
  const bool uses_host_header = fallback == fields.end() || !fallback->second.bool_value();
  const bool is_inbound = context.chain.direction == Direction::kInbound;
  return std::make_shared<const StatsFilter>(*context.process.metrics,
                                             ParseNode(context.process.node_metadata_json),
                                             is_inbound, uses_host_header);
}

}  // namespace

extern const FilterKind kStatsFilter;
const FilterKind kStatsFilter = {
    "istio.stats", "stats.PluginConfig", "", Create, nullptr,
};

}  // namespace meltemi::proxy
