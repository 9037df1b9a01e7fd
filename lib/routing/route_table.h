// SPDX-License-Identifier: Apache-2.0
// A route configuration as compiled: virtual hosts by domain, their routes in order, first match
// wins. Immutable once built, thread-safe; a stream pins the table it was routed by.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/routing/host_table.h"
#include "lib/routing/route.h"

namespace meltemi::routing {

struct VirtualHost {
  enum class TlsRequirement : uint8_t { kNone, kExternalOnly, kAll };
  std::string name;
  std::vector<std::string> domains;
  std::vector<Route> routes;
  TlsRequirement tls_requirement = TlsRequirement::kNone;
  bool adds_attempt_count = false;
  bool adds_attempt_count_to_response = false;
  HeaderMutations request;
  HeaderMutations response;
  FilterOverrides overrides;
};

struct RouteOptions {
  std::string name;
  bool ignores_port = false;
  bool most_specific_mutations_win = false;
  bool ignores_path_parameters = false;
  HeaderMutations request;
  HeaderMutations response;
  FilterOverrides overrides;
};

struct Found {
  const VirtualHost* host = nullptr;
  const Route* route = nullptr;  // nullptr = the host has no such route
};

class RouteTable final {
 public:
  // Fails on a domain that is malformed or claimed twice, naming the virtual host.
  static StatusOr<std::shared_ptr<const RouteTable>> Build(RouteOptions options,
                                                           std::vector<VirtualHost> hosts);

  // `random` decides fractions; the same value always finds the same route.
  Found Find(const http::RequestHead& head, uint64_t random) const;

  const RouteOptions& options() const { return options_; }
  const std::vector<VirtualHost>& hosts() const { return hosts_; }

 private:
  RouteTable() = default;
  RouteOptions options_;
  std::vector<VirtualHost> hosts_;
  std::vector<PathIndex> indexes_;  // one per host
  HostTable table_;
};

// The override a request's route holds for a filter, most specific first; nullptr = none.
const FilterOverride* FindOverride(std::string_view filter, const RouteTable& table,
                                   const Found& found, const WeightedCluster* weighted);

}  // namespace meltemi::routing
