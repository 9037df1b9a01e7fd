// SPDX-License-Identifier: Apache-2.0
// Who talks to whom: read from what the destinations' proxies count (istio_requests_total,
// istio_tcp_connections_opened_total).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/running_mesh.h"

namespace meltemi::cli {

struct Edge {
  std::string from, to;  // workloads
  std::string protocol;  // "http", "grpc", "tcp"
  double count = 0;      // requests, or connections of TCP
  double mutual_tls = 0;
  double failed = 0;  // answered 5xx, or not at all
};

// Adds what one proxy's Prometheus text says as a destination.
void AddEdges(std::string_view prometheus, std::vector<Edge>* edges);

// Of all proxies of the mesh that answer; by name.
std::vector<Edge> ReadEdges(const RunningMesh& mesh);

std::string EdgeTable(const std::vector<Edge>& edges);
nlohmann::json EdgesJson(const std::vector<Edge>& edges);

}  // namespace meltemi::cli
