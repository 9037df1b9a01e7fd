// SPDX-License-Identifier: Apache-2.0
#include "proxy/filters/istio_labels.h"

#include <algorithm>

namespace meltemi::proxy {

std::vector<std::string> LabelNames(size_t count) {
  static constexpr std::array<std::string_view, kLabels> kNames = {
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
      "response_code",
      "grpc_response_status",
  };
  return {kNames.begin(), kNames.begin() + count};
}

Party PartyOf(const NodeFacts& node) {
  return {node.workload,
          node.workload_namespace,
          node.canonical_service,
          node.canonical_revision,
          node.app,
          node.version,
          node.cluster};
}

Party PartyOf(const PeerInfo& peer) {
  return {peer.workload,
          peer.workload_namespace,
          peer.canonical_service,
          peer.canonical_revision,
          peer.app,
          peer.version,
          peer.cluster};
}

Party PartyOfEndpoint(std::string_view workload_metadata) {
  std::array<std::string, 5> parts;
  for (std::string& part : parts) {
    const size_t end = std::min(workload_metadata.find(';'), workload_metadata.size());
    part = std::string(workload_metadata.substr(0, end));
    workload_metadata.remove_prefix(std::min(end + 1, workload_metadata.size()));
  }
  return {parts[0], parts[1], parts[2], parts[3], parts[2], parts[3], parts[4]};
}

void PutSource(const Party& party, Labels& labels) {
  labels[kSourceWorkload] = party.workload;
  labels[kSourceNamespace] = party.workload_namespace;
  labels[kSourceCanonicalService] = party.canonical_service;
  labels[kSourceCanonicalRevision] = party.canonical_revision;
  labels[kSourceApp] = party.app;
  labels[kSourceVersion] = party.version;
  labels[kSourceCluster] = party.cluster;
}

void PutDestination(const Party& party, Labels& labels) {
  labels[kDestinationWorkload] = party.workload;
  labels[kDestinationNamespace] = party.workload_namespace;
  labels[kDestinationCanonicalService] = party.canonical_service;
  labels[kDestinationCanonicalRevision] = party.canonical_revision;
  labels[kDestinationApp] = party.app;
  labels[kDestinationVersion] = party.version;
  labels[kDestinationCluster] = party.cluster;
}

void FillUnknown(Labels& labels) {
  for (size_t i = 0; i < kLabels; ++i) {
    if (!labels[i].empty() || i == kGrpcResponseStatus) continue;
    const bool is_revision = i == kSourceCanonicalRevision || i == kDestinationCanonicalRevision;
    labels[i] = is_revision ? "latest" : "unknown";
  }
}

std::string NamespaceOf(std::string_view spiffe_id) {
  constexpr std::string_view kMark = "/ns/";
  const size_t at = spiffe_id.find(kMark);
  if (at == std::string_view::npos) return {};
  spiffe_id.remove_prefix(at + kMark.size());
  return std::string(spiffe_id.substr(0, spiffe_id.find('/')));
}

}  // namespace meltemi::proxy
