// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_stats.h"

#include <array>
#include <string>

#include "proxy/filters/istio_labels.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

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
    std::array<std::string_view, kTcpLabels> views;
    for (size_t i = 0; i < kTcpLabels; ++i) views[i] = labels[i];
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
    options.labels = LabelNames(kTcpLabels);
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
      PutDestination(PartyOf(node_), labels);
      // A TCP client says nothing of itself but what its certificate proves.
      if (is_mutual) {
        labels[kSourcePrincipal] = std::string(peer->uri_san);
        labels[kSourceNamespace] = NamespaceOf(peer->uri_san);
      }
      labels[kConnectionSecurityPolicy] = is_mutual ? "mutual_tls" : "none";
    } else {
      PutSource(PartyOf(node_), labels);
      if (summary.host != nullptr) {
        PutDestination(PartyOfEndpoint(summary.host->info().workload), labels);
      }
    }
    if (const ClusterInfo* cluster = summary.cluster) {
      labels[kDestinationService] = cluster->service_host;
      labels[kDestinationServiceName] =
          cluster->service_name.empty() ? cluster->name : cluster->service_name;
      labels[kDestinationServiceNamespace] = cluster->service_namespace;
    }
    FillUnknown(labels);
    return labels;
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
