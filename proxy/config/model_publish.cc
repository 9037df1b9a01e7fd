// SPDX-License-Identifier: Apache-2.0
// The half of Model that turns accepted resources into snapshots: warming, refresh, sockets.
#include <fmt/ranges.h>

#include <algorithm>

#include "lib/base/log.h"
#include "proxy/config/model.h"
#include "proxy/upstream/breaker_count.h"

namespace meltemi::proxy {

const Assignment* Model::EndpointsOf(const ClusterEntry& entry) const {
  switch (entry.plan->config.discovery) {
    case Discovery::kEds: {
      const auto found = assignments_.find(entry.plan->endpoint_name);
      return found == assignments_.end() ? nullptr : &found->second.assignment;
    }
    case Discovery::kStrictDns:
    case Discovery::kLogicalDns:
      return entry.resolved ? &*entry.resolved : nullptr;
    default:
      return &entry.plan->assignment.assignment;
  }
}

bool Model::IsReady(const ClusterEntry& entry) const {
  return EndpointsOf(entry) != nullptr && entry.plan->has_secrets(secrets_);
}

bool Model::IsReady(const ListenerEntry& entry) const {
  const SourcedNames routes = entry.plan->routes();
  return entry.plan->has_secrets(secrets_) &&
         std::all_of(routes.begin(), routes.end(),
                     [this](const auto& route) { return routes_.contains(route.first); });
}

template <typename Entry>
bool Model::IsDue(Entry& entry) {
  if (IsReady(entry)) return true;
  if (entry.plan->fetch_timeout.count() == 0) return false;
  if (entry.deadline == MonotonicTime{}) {
    entry.deadline = options_.control.Now() + entry.plan->fetch_timeout;
  }
  return options_.control.Now() >= entry.deadline;
}

void Model::Refresh(ClusterEntry& entry) {
  if (!entry.is_dirty && !entry.has_new_endpoints) return;
  if (!IsDue(entry)) return;
  auto next = std::make_shared<CompiledCluster>();
  if (entry.published) *next = *entry.published;
  if (next->shared == nullptr) next->shared = std::make_shared<SharedBreakers>();
  if (entry.is_dirty) {
    auto config = BuildConfig(*entry.plan, secrets_);
    if (!config.ok()) {
      MELTEMI_LOG(warn, "{}; its last good version stays", Message(config.status()));
      entry.is_dirty = false;
      return;
    }
    next->config = *std::move(config);
  }
  static const Assignment none;
  const Assignment* assignment = EndpointsOf(entry);
  auto endpoints = BuildEndpoints(*next->config, assignment ? *assignment : none);
  if (!endpoints.ok()) {
    MELTEMI_LOG(warn, "cluster {}: {}", next->config->info.name, Message(endpoints.status()));
    return;
  }
  const EndpointSet* const before = entry.published ? entry.published->endpoints.get() : nullptr;
  if (next->config->discovery != Discovery::kOriginalDst) next->endpoints = *std::move(endpoints);
  if (membership_) membership_->Set(next->config->info.stat_name, before, next->endpoints.get());
  entry.published = std::move(next);
  entry.is_dirty = entry.has_new_endpoints = false;
}

void Model::Refresh(ListenerEntry& entry) {
  if (!entry.is_dirty || !IsDue(entry)) return;
  entry.is_dirty = !IsReady(entry);  // started without a secret: again when it comes
  auto listener = BuildListener(*entry.plan, secrets_);
  if (!listener.ok()) {
    MELTEMI_LOG(warn, "{}; its last good version stays", Message(listener.status()));
    return;
  }
  (*listener)->sockets = entry.sockets;
  if (!entry.sockets.empty() && (*listener)->address.is_ip() && (*listener)->address.port() == 0) {
    (*listener)->address = entry.sockets[0]->address();
  }
  entry.published = *std::move(listener);
}

std::shared_ptr<const Snapshot> Model::MakeSnapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = ++version_;
  snapshot->clusters.resize(cluster_names_.ids.size());
  for (const auto& [name, entry] : clusters_) {
    snapshot->clusters[cluster_names_.ids.find(name)->second] = entry.published;
  }
  snapshot->routes.resize(route_names_.ids.size());
  for (const auto& [name, entry] : routes_) {
    const auto id = route_names_.ids.find(name);
    if (id != route_names_.ids.end()) snapshot->routes[id->second] = entry.table;
  }
  for (const auto& [name, entry] : listeners_) {
    if (entry.published) snapshot->listeners.push_back(entry.published);
  }
  return snapshot;
}

void Model::CloseUnusedSockets(std::vector<std::shared_ptr<ListenerSockets>>& closing) {
  std::set<const ListenerSockets*> used;
  for (const auto& [name, entry] : listeners_) {
    for (const auto& sockets : entry.sockets) used.insert(sockets.get());
    if (!entry.published) continue;
    for (const auto& sockets : entry.published->sockets) used.insert(sockets.get());
  }
  for (auto at = sockets_.begin(); at != sockets_.end();) {
    if (used.contains(at->second.get())) {
      ++at;
      continue;
    }
    closing.push_back(at->second);
    at = sockets_.erase(at);
  }
}

void Model::Commit(std::function<void()> adopted) {
  for (auto& [name, entry] : clusters_) Refresh(entry);
  for (auto& [name, entry] : listeners_) Refresh(entry);
  std::vector<std::shared_ptr<ListenerSockets>> closing;
  CloseUnusedSockets(closing);
  ArmDeadline();
  options_.publish(MakeSnapshot(), [closing = std::move(closing), adopted = std::move(adopted)] {
    for (const auto& sockets : closing) sockets->Close();
    if (adopted) adopted();
  });
}

void Model::ArmDeadline() {
  MonotonicTime next{};
  const MonotonicTime now = options_.control.Now();
  const auto note = [&](const auto& entry) {
    if (entry.deadline == MonotonicTime{} || entry.deadline <= now || !entry.is_dirty) return;
    if (next == MonotonicTime{} || entry.deadline < next) next = entry.deadline;
  };
  for (const auto& [name, entry] : clusters_) note(entry);
  for (const auto& [name, entry] : listeners_) note(entry);
  if (next != MonotonicTime{}) deadline_timer_.Arm(next - now);
}

bool Model::is_warm() const {
  const auto is_published = [](const auto& entry) { return entry.second.published != nullptr; };
  return std::all_of(clusters_.begin(), clusters_.end(), is_published) &&
         std::all_of(listeners_.begin(), listeners_.end(), is_published);
}

// Clusters with the same options share one: few settings, many clusters.
net::Resolver* Model::ResolverFor(const std::string& cluster, const net::ResolverOptions& options) {
  const std::string key = fmt::format("{} {} {}", fmt::join(options.servers, ","),
                                      options.timeout.count(), options.tries);
  std::unique_ptr<net::Resolver>& resolver = resolvers_[key];
  if (resolver != nullptr) return resolver.get();
  auto made = net::Resolver::Create(options_.control, options);
  if (!made.ok()) {
    MELTEMI_LOG(error, "cluster {}: no DNS: {}", cluster, Message(made.status()));
    return nullptr;
  }
  resolver = *std::move(made);
  return resolver.get();
}

void Model::Resolve(const std::string& name, ClusterEntry& entry) {
  if (entry.plan->assignment.named.empty()) {
    entry.resolved = entry.plan->assignment.assignment;
    return;
  }
  net::Resolver* const resolver = ResolverFor(name, entry.plan->dns_resolver);
  if (resolver == nullptr) return;
  const auto changed = [this, name](const Assignment& assignment) {
    const auto found = clusters_.find(name);
    if (found == clusters_.end()) return;
    found->second.resolved = assignment;
    found->second.has_new_endpoints = true;
    Commit(nullptr);
  };
  entry.dns = std::make_unique<DnsEndpoints>(options_.control, *resolver, entry.plan,
                                             dns_stats_.get(), changed);
}

}  // namespace meltemi::proxy
