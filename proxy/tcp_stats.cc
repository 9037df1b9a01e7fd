// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_stats.h"

#include <array>
#include <string>
#include <vector>

#include "proxy/http/node_facts.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

// In the order of Istio's documentation.
enum Label : size_t {
  kReporter,
  kSourceWorkload,
  kSourceCanonicalService,
  kSourceCanonicalRevision,
  kSourceNamespace,
  kSourcePrincipal,
  kSourceApp,
  kSourceVersion,
  kSourceCluster,
  kDestinationWorkload,
  kDestinationNamespace,
  kDestinationPrincipal,
  kDestinationApp,
  kDestinationVersion,
  kDestinationService,
  kDestinationCanonicalService,
  kDestinationCanonicalRevision,
  kDestinationServiceName,
  kDestinationServiceNamespace,
  kDestinationCluster,
  kRequestProtocol,
  kResponseFlags,
  kConnectionSecurityPolicy,
  kLabels
};

const std::vector<std::string>& LabelNames() {
  static const std::vector<std::string> names = {
      "reporter",
      "source_workload",
      "source_canonical_service",
      "source_canonical_revision",
      "source_workload_namespace",
      "source_principal",
      "source_app",
      "source_version",
      "source_cluster",
      "destination_workload",
      "destination_workload_namespace",
      "destination_principal",
      "destination_app",
      "destination_version",
      "destination_service",
      "destination_canonical_service",
      "destination_canonical_revision",
      "destination_service_name",
      "destination_service_namespace",
      "destination_cluster",
      "request_protocol",
      "response_flags",
      "connection_security_policy",
  };
  return names;
}

using Labels = std::array<std::string, kLabels>;

void PutSelfAsSource(const NodeFacts& node, Labels& labels) {
  labels[kSourceWorkload] = node.workload;
  labels[kSourceNamespace] = node.workload_namespace;
  labels[kSourceCanonicalService] = node.canonical_service;
  labels[kSourceCanonicalRevision] = node.canonical_revision;
  labels[kSourceApp] = node.app;
  labels[kSourceVersion] = node.version;
  labels[kSourceCluster] = node.cluster;
}

void PutSelfAsDestination(const NodeFacts& node, Labels& labels) {
  labels[kDestinationWorkload] = node.workload;
  labels[kDestinationNamespace] = node.workload_namespace;
  labels[kDestinationCanonicalService] = node.canonical_service;
  labels[kDestinationCanonicalRevision] = node.canonical_revision;
  labels[kDestinationApp] = node.app;
  labels[kDestinationVersion] = node.version;
  labels[kDestinationCluster] = node.cluster;
}

// "workload;namespace;canonical service;canonical revision;cluster" of the endpoint.
void PutEndpoint(std::string_view workload, Labels& labels) {
  std::array<std::string_view, 5> parts;
  for (std::string_view& part : parts) {
    part = workload.substr(0, workload.find(';'));
    workload.remove_prefix(std::min(part.size() + 1, workload.size()));
  }
  labels[kDestinationWorkload] = parts[0];
  labels[kDestinationNamespace] = parts[1];
  labels[kDestinationCanonicalService] = labels[kDestinationApp] = parts[2];
  labels[kDestinationCanonicalRevision] = labels[kDestinationVersion] = parts[3];
  labels[kDestinationCluster] = parts[4];
}

class TcpStats final : public TcpObserver {
 public:
  TcpStats(telemetry::Registry& registry, const HttpProcess& process)
      : node_(ParseNode(process.node_metadata_json)),
        opened_(Add(registry, "istio_tcp_connections_opened_total", "Connections opened.")),
        closed_(Add(registry, "istio_tcp_connections_closed_total", "Connections closed.")),
        sent_(Add(registry, "istio_tcp_sent_bytes_total", "Bytes sent to clients.")),
        received_(Add(registry, "istio_tcp_received_bytes_total", "Bytes received from clients.")) {
  }

  void Observe(Worker& worker, const TcpSummary& summary) const override {
    telemetry::Recorder* recorder = worker.recorder();
    if (recorder == nullptr) return;
    const bool is_opened = summary.event == TcpSummary::Event::kOpened;
    if (!is_opened && summary.event != TcpSummary::Event::kEnded) return;
    const Labels labels = LabelsOf(summary);
    std::array<std::string_view, kLabels> views;
    for (size_t i = 0; i < kLabels; ++i) views[i] = labels[i];
    if (is_opened) {
      recorder->Find(opened_, views).Add();
      return;
    }
    recorder->Find(closed_, views).Add();
    recorder->Find(sent_, views).Add(summary.bytes_sent);
    recorder->Find(received_, views).Add(summary.bytes_received);
  }

 private:
  static telemetry::Family* Add(telemetry::Registry& registry, const char* name, const char* help) {
    telemetry::FamilyOptions options;
    options.name = name;
    options.help = help;
    options.type = telemetry::MetricType::kCounter;
    options.labels = LabelNames();
    return registry.Add(std::move(options));
  }

  Labels LabelsOf(const TcpSummary& summary) const {
    Labels labels;
    const bool is_inbound = summary.accepted->direction == Direction::kInbound;
    labels[kReporter] = is_inbound ? "destination" : "source";
    labels[kRequestProtocol] = "tcp";
    labels[kResponseFlags] = std::string(summary.response_flags);
    const net::TlsPeer* peer = summary.downstream_tls;
    const bool is_mutual = peer != nullptr && !peer->certificate_der.empty();
    if (is_inbound) {
      PutSelfAsDestination(node_, labels);
      if (is_mutual) PutPeer(peer->uri_san, labels);
      labels[kConnectionSecurityPolicy] = is_mutual ? "mutual_tls" : "none";
    } else {
      PutSelfAsSource(node_, labels);
      if (summary.host != nullptr) PutEndpoint(summary.host->info().workload, labels);
    }
    if (const ClusterInfo* cluster = summary.cluster) {
      labels[kDestinationService] = cluster->service_host;
      labels[kDestinationServiceName] =
          cluster->service_name.empty() ? cluster->name : cluster->service_name;
      labels[kDestinationServiceNamespace] = cluster->service_namespace;
    }
    for (size_t i = 0; i < kLabels; ++i) {
      const bool is_revision = i == kSourceCanonicalRevision || i == kDestinationCanonicalRevision;
      if (labels[i].empty()) labels[i] = is_revision ? "latest" : "unknown";
    }
    return labels;
  }

  // A TCP client says nothing of itself but what its certificate proves.
  static void PutPeer(std::string_view spiffe_id, Labels& labels) {
    constexpr std::string_view kMark = "/ns/";
    labels[kSourcePrincipal] = std::string(spiffe_id);
    const size_t at = spiffe_id.find(kMark);
    if (at == std::string_view::npos) return;
    spiffe_id.remove_prefix(at + kMark.size());
    labels[kSourceNamespace] = std::string(spiffe_id.substr(0, spiffe_id.find('/')));
  }

  const NodeFacts node_;
  telemetry::Family* const opened_;
  telemetry::Family* const closed_;
  telemetry::Family* const sent_;
  telemetry::Family* const received_;
};

}  // namespace

std::shared_ptr<const TcpObserver> NewTcpStats(telemetry::Registry& registry,
                                               const HttpProcess& process) {
  return std::make_shared<const TcpStats>(registry, process);
}

}  // namespace meltemi::proxy
