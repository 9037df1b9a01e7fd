// SPDX-License-Identifier: Apache-2.0
// envoy.config.cluster.v3.Cluster → ClusterPlan: everything but the secrets and the endpoints that
// come from elsewhere. Control thread only. What would choose a destination or weaken a check when
// ignored is refused by name; what only observes is accepted.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/resolver.h"
#include "proxy/config/endpoint_compiler.h"
#include "proxy/config/tls_compiler.h"
#include "proxy/upstream/cluster.h"

namespace meltemi::proxy {

struct ClusterPlan {
  ClusterConfig config;                     // transports without contexts
  std::vector<std::optional<TlsPlan>> tls;  // by transport
  std::string endpoint_name;                // EDS: resource that carries the endpoints
  ConfigSource endpoint_source;             // and who has it
  CompiledAssignment assignment;            // STATIC and DNS
  Duration dns_refresh = std::chrono::seconds(5);
  net::LookupFamily dns_family = net::LookupFamily::kAuto;
  net::ResolverOptions dns_resolver;  // whom to ask, and how long
  // The shortest of the waits its sources allow while warming; 0 = for ever.
  Duration fetch_timeout{};

  std::set<std::string> secrets() const;
  SourcedNames secret_sources() const;
  bool has_secrets(const Secrets& known) const;
};

StatusOr<std::shared_ptr<const ClusterPlan>> CompileCluster(std::string_view serialized);

// The cluster's settings with its TLS contexts; transports whose secrets are missing get none.
StatusOr<std::shared_ptr<const ClusterConfig>> BuildConfig(const ClusterPlan& plan,
                                                           const Secrets& secrets);

}  // namespace meltemi::proxy
