// SPDX-License-Identifier: Apache-2.0
// The labels of Istio's standard metrics, which dashboards key on, for HTTP and TCP alike. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/node_facts.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

// In the order of Istio's documentation, but that those which TCP has not come last.
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
  kTcpLabels,
  kResponseCode = kTcpLabels,
  kGrpcResponseStatus,
  kLabels
};
using Labels = std::array<std::string, kLabels>;

// The names of the first `count`.
std::vector<std::string> LabelNames(size_t count);

// One workload's worth of labels.
struct Party {
  std::string workload, workload_namespace, canonical_service, canonical_revision, app, version;
  std::string cluster;
};
Party PartyOf(const NodeFacts& node);
Party PartyOf(const PeerInfo& peer);
// Endpoint metadata: "workload;namespace;canonical service;canonical revision;cluster".
Party PartyOfEndpoint(std::string_view workload_metadata);

void PutSource(const Party& party, Labels& labels);
void PutDestination(const Party& party, Labels& labels);
// "unknown", or "latest" for revisions, where there is nothing; a gRPC status may be missing.
void FillUnknown(Labels& labels);

// Of a SPIFFE id, "" when it names none. A certificate is better evidence than what a peer says.
std::string NamespaceOf(std::string_view spiffe_id);

}  // namespace meltemi::proxy
