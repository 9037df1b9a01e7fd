// SPDX-License-Identifier: Apache-2.0
// All configuration a proxy has accepted, and the snapshots made of it. Control thread only.
//
// Invariants:
//  1. A resource that is refused stays at its last good version.
//  2. A cluster or listener is published first when it has all it needs (endpoints, routes,
//  secrets) or its
//     initial_fetch_timeout has passed; until then an earlier version of it stays published.
//  3. Ids of clusters and routes never change while the process lives.
//  4. Sockets close only after every worker has stopped using them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/runtime/loop.h"
#include "proxy/config/breaker_gauges.h"
#include "proxy/config/cluster_compiler.h"
#include "proxy/config/dns_endpoints.h"
#include "proxy/config/listener_compiler.h"
#include "proxy/config/membership_stats.h"
#include "proxy/config/sink.h"
#include "proxy/config/snapshot.h"

namespace meltemi::proxy {

using RouteCompiler = std::function<StatusOr<std::shared_ptr<const RouteTableBase>>(
    std::string_view serialized, ClusterNames& clusters)>;

// What was accepted last, as it came; decoded only for dumps.
struct Stored {
  std::string bytes;
  std::string version;
  WallTime updated{};
};

class Model final : public ConfigSink {
 public:
  struct Options {
    runtime::Loop& control;
    const Clock& clock = RealClock();
    SocketSource& sockets;
    size_t workers = 1;
    FilterCompilers compilers;
    RouteCompiler compile_routes;
    telemetry::Registry* registry = nullptr;  // outlives this; nullptr = DNS is not counted
    bool counts_members = false;              // the hosts of each cluster
    // Hands a snapshot to the workers and calls back once all run on it.
    std::function<void(std::shared_ptr<const Snapshot>, std::function<void()>)> publish;
  };
  explicit Model(Options options);
  ~Model() override;

  std::vector<Rejection> Update(xds::Type type, const std::vector<ResourceUpdate>& changed,
                                const std::vector<std::string>& removed) override;
  void Commit(std::function<void()> adopted) override;
  Wanted wanted() const override { return wanted_; }
  void OnWantedChanged(std::function<void()> changed) override { on_wanted_ = std::move(changed); }
  bool is_warm() const override;
  // Brings up to date what is only measured when somebody looks.
  void RefreshGauges();

  struct ClusterEntry {
    Stored stored;
    bool is_static = false;
    std::shared_ptr<const ClusterPlan> plan;
    std::shared_ptr<const CompiledCluster> published;
    std::unique_ptr<DnsEndpoints> dns;   // DNS clusters
    std::optional<Assignment> resolved;  // their last answer
    bool is_dirty = true;                // settings or secrets changed
    bool has_new_endpoints = true;
    MonotonicTime deadline{};  // warming ends; zero = not set
  };
  struct ListenerEntry {
    Stored stored;
    bool is_static = false;
    std::shared_ptr<const ListenerPlan> plan;
    std::shared_ptr<const CompiledListener> published;
    std::vector<std::shared_ptr<ListenerSockets>> sockets;
    bool is_dirty = true;
    MonotonicTime deadline{};
  };
  struct AssignmentEntry {
    Stored stored;
    Assignment assignment;
  };
  struct RouteEntry {
    Stored stored;
    std::shared_ptr<const RouteTableBase> table;
  };
  const std::map<std::string, ClusterEntry>& clusters() const { return clusters_; }
  const std::map<std::string, ListenerEntry>& listeners() const { return listeners_; }
  const std::map<std::string, AssignmentEntry>& assignments() const { return assignments_; }
  const std::map<std::string, RouteEntry>& routes() const { return routes_; }
  const std::map<std::string, Stored>& secret_versions() const { return secret_versions_; }
  const Secrets& secrets() const { return secrets_; }
  // What comes from the bootstrap's static_resources; a dynamic resource of the same name is
  // refused.
  void set_is_loading_static(bool is_loading) { is_loading_static_ = is_loading; }

 private:
  struct Names final : ClusterNames, RouteNames {
    uint32_t Intern(std::string_view name) override;
    absl::flat_hash_map<std::string, uint32_t> ids;
  };

  Status TakeCluster(const ResourceUpdate& update, Stored stored);
  Status TakeAssignment(const ResourceUpdate& update, Stored stored);
  Status TakeListener(const ResourceUpdate& update, Stored stored);
  Status TakeRoutes(const ResourceUpdate& update, Stored stored);
  Status TakeSecret(const ResourceUpdate& update, Stored stored);
  Status Take(xds::Type type, const ResourceUpdate& update);
  void Remove(xds::Type type, const std::string& name);
  StatusOr<std::vector<std::shared_ptr<ListenerSockets>>> OpenSockets(const ListenerPlan& plan);

  net::Resolver* ResolverFor(const std::string& cluster, const net::ResolverOptions& options);
  void Resolve(const std::string& name, ClusterEntry& entry);
  const Assignment* EndpointsOf(const ClusterEntry& entry) const;
  bool IsReady(const ClusterEntry& entry) const;
  bool IsReady(const ListenerEntry& entry) const;
  // True when the wait is over: nothing is missing, or time is up.
  template <typename Entry>
  bool IsDue(Entry& entry);
  void Refresh(ClusterEntry& entry);
  void Refresh(ListenerEntry& entry);
  std::shared_ptr<const Snapshot> MakeSnapshot();
  void UpdateWanted();
  void CloseUnusedSockets(std::vector<std::shared_ptr<ListenerSockets>>& closing);
  void ArmDeadline();

  Options options_;
  Names cluster_names_, route_names_;
  std::map<std::string, ClusterEntry> clusters_;
  std::map<std::string, ListenerEntry> listeners_;
  std::map<std::string, AssignmentEntry> assignments_;
  std::map<std::string, RouteEntry> routes_;
  std::map<std::string, Stored> secret_versions_;  // without their bytes
  Secrets secrets_;
  std::unique_ptr<DnsStats> dns_stats_;
  std::unique_ptr<BreakerGauges> breakers_;                          // nullptr: not told
  std::unique_ptr<MembershipStats> membership_;                      // nullptr: not counted
  std::map<std::string, std::unique_ptr<net::Resolver>> resolvers_;  // by their options
  std::map<std::string, std::shared_ptr<ListenerSockets>> sockets_;  // by address
  Wanted wanted_;
  std::function<void()> on_wanted_;
  runtime::Timer deadline_timer_;
  uint64_t version_ = 0;
  bool is_loading_static_ = false;
};

}  // namespace meltemi::proxy
