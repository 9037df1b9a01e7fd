// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"

namespace meltemi::proxy {
namespace {

// A name is one resource, whoever asks for it; those asked of a second source go to `doubled`.
void AddWanted(const SourcedNames& names, SourcedNames& to, std::set<std::string>& doubled) {
  for (const auto& [name, source] : names) {
    const auto [at, is_new] = to.emplace(name, source);
    if (!is_new && at->second != source) doubled.insert(name);
  }
}

}  // namespace

uint32_t Model::Names::Intern(std::string_view name) {
  return ids.try_emplace(std::string(name), static_cast<uint32_t>(ids.size())).first->second;
}

Model::Model(Options options)
    : options_(std::move(options)), deadline_timer_(options_.control, [this] { Commit(nullptr); }) {
  if (options_.registry == nullptr) return;
  dns_stats_ = std::make_unique<DnsStats>(*options_.registry);
  if (options_.counts_members) {
    membership_ = std::make_unique<MembershipStats>(*options_.registry);
    breakers_ = std::make_unique<BreakerGauges>(*options_.registry);
  }
}

Model::~Model() = default;

void Model::RefreshGauges() {
  if (breakers_ == nullptr) return;
  for (const auto& [name, entry] : clusters_) {
    if (entry.published == nullptr || entry.published->shared == nullptr) continue;
    const ClusterConfig& config = *entry.published->config;
    breakers_->Set(config.info.stat_name, config.breakers, *entry.published->shared);
  }
}

std::vector<Rejection> Model::Update(xds::Type type, const std::vector<ResourceUpdate>& changed,
                                     const std::vector<std::string>& removed) {
  // Removals first: what is added may need the address they free.
  for (const std::string& name : removed) Remove(type, name);
  std::vector<Rejection> rejections;
  std::set<std::string_view> seen;
  for (const ResourceUpdate& update : changed) {
    Status status = seen.insert(update.name).second
                        ? Take(type, update)
                        : absl::InvalidArgumentError("duplicate name in one response");
    if (!status.ok()) rejections.push_back({update.name, std::string(Message(status))});
  }
  UpdateWanted();
  return rejections;
}

Status Model::Take(xds::Type type, const ResourceUpdate& update) {
  Stored stored{std::string(update.message), update.version, options_.clock.Wall()};
  switch (type) {
    case xds::Type::kCluster:
      return TakeCluster(update, std::move(stored));
    case xds::Type::kEndpoint:
      return TakeAssignment(update, std::move(stored));
    case xds::Type::kListener:
      return TakeListener(update, std::move(stored));
    case xds::Type::kRoute:
      return TakeRoutes(update, std::move(stored));
    case xds::Type::kSecret:
      return TakeSecret(update, std::move(stored));
    default:
      return absl::UnimplementedError("this resource type is not taken here");
  }
}

Status Model::TakeCluster(const ResourceUpdate& update, Stored stored) {
  const auto found = clusters_.find(update.name);
  if (found != clusters_.end()) {
    if (found->second.is_static && !is_loading_static_) {
      return absl::InvalidArgumentError("a static cluster has this name");
    }
    if (found->second.stored.bytes == stored.bytes) {
      found->second.stored.version = std::move(stored.version);
      return absl::OkStatus();
    }
  }
  MELTEMI_ASSIGN_OR_RETURN(auto plan, CompileCluster(update.message));
  ClusterEntry& entry = clusters_[update.name];
  entry.stored = std::move(stored);
  entry.is_static = is_loading_static_;
  entry.plan = std::move(plan);
  entry.is_dirty = entry.has_new_endpoints = true;
  entry.deadline = {};
  cluster_names_.Intern(update.name);
  const Discovery discovery = entry.plan->config.discovery;
  if (discovery == Discovery::kStrictDns || discovery == Discovery::kLogicalDns) {
    Resolve(update.name, entry);
  }
  return absl::OkStatus();
}

Status Model::TakeAssignment(const ResourceUpdate& update, Stored stored) {
  auto& before = assignments_[update.name];
  if (!before.stored.bytes.empty() && before.stored.bytes == stored.bytes) return absl::OkStatus();
  auto compiled = CompileAssignment(update.message);
  if (!compiled.ok()) {
    if (before.stored.version.empty()) assignments_.erase(update.name);
    return WithContext(compiled.status(), "endpoints " + update.name);
  }
  before = {std::move(stored), std::move(compiled->assignment)};
  for (auto& [name, cluster] : clusters_) {
    if (cluster.plan->endpoint_name == update.name) cluster.has_new_endpoints = true;
  }
  return absl::OkStatus();
}

Status Model::TakeListener(const ResourceUpdate& update, Stored stored) {
  const auto found = listeners_.find(update.name);
  const ListenerPlan* earlier = nullptr;
  if (found != listeners_.end()) {
    if (found->second.is_static && !is_loading_static_) {
      return absl::InvalidArgumentError("a static listener has this name");
    }
    if (found->second.stored.bytes == stored.bytes) return absl::OkStatus();
    earlier = found->second.plan.get();
  }
  const ListenerInputs inputs{options_.compilers, cluster_names_, route_names_};
  MELTEMI_ASSIGN_OR_RETURN(auto plan, CompileListener(update.message, inputs, earlier));
  MELTEMI_ASSIGN_OR_RETURN(auto sockets, OpenSockets(*plan));
  ListenerEntry& entry = listeners_[update.name];
  entry.stored = std::move(stored);
  entry.is_static = is_loading_static_;
  entry.plan = std::move(plan);
  entry.sockets = std::move(sockets);
  entry.is_dirty = true;
  entry.deadline = {};
  return absl::OkStatus();
}

Status Model::TakeRoutes(const ResourceUpdate& update, Stored stored) {
  const auto found = routes_.find(update.name);
  if (found != routes_.end() && found->second.stored.bytes == stored.bytes) return absl::OkStatus();
  auto table = options_.compile_routes(update.message, cluster_names_);
  if (!table.ok()) return WithContext(table.status(), "route configuration " + update.name);
  routes_[update.name] = {std::move(stored), *std::move(table)};
  return absl::OkStatus();
}

Status Model::TakeSecret(const ResourceUpdate& update, Stored stored) {
  auto compiled = CompileSecret(update.message);
  if (!compiled.ok()) return WithContext(compiled.status(), "secret " + update.name);
  stored.bytes.clear();  // keys are kept in one place only
  secrets_[update.name] = std::move(compiled->second);
  secret_versions_[update.name] = std::move(stored);
  for (auto& [name, cluster] : clusters_) {
    if (cluster.plan->secrets().contains(update.name)) cluster.is_dirty = true;
  }
  for (auto& [name, listener] : listeners_) {
    if (listener.plan->secrets().contains(update.name)) listener.is_dirty = true;
  }
  return absl::OkStatus();
}

void Model::Remove(xds::Type type, const std::string& name) {
  switch (type) {
    case xds::Type::kCluster:
      if (auto found = clusters_.find(name); found != clusters_.end() && !found->second.is_static) {
        const auto& published = found->second.published;
        if (membership_ && published) {
          membership_->Set(published->config->info.stat_name, published->endpoints.get(), nullptr);
        }
        clusters_.erase(found);
      }
      return;
    case xds::Type::kListener:
      if (auto found = listeners_.find(name);
          found != listeners_.end() && !found->second.is_static) {
        listeners_.erase(found);
      }
      return;
    case xds::Type::kEndpoint:
      assignments_.erase(name);
      return;
    case xds::Type::kRoute:
      routes_.erase(name);
      return;
    default:
      return;  // a secret in use goes on serving its last value
  }
}

StatusOr<std::vector<std::shared_ptr<ListenerSockets>>> Model::OpenSockets(
    const ListenerPlan& plan) {
  std::vector<std::shared_ptr<ListenerSockets>> opened;
  if (!plan.binds) return opened;
  ListenRequest request;
  request.listener_name = plan.listener.name;
  request.direction = plan.listener.direction;
  request.is_original_destination = plan.listener.uses_original_destination;
  request.destination_ports.assign(plan.destination_ports.begin(), plan.destination_ports.end());
  request.backlog = plan.backlog;
  request.is_shared = plan.shares_socket;
  request.options = plan.socket_options;
  std::vector<net::Address> wanted{plan.listener.address};
  wanted.insert(wanted.end(), plan.listener.more_addresses.begin(),
                plan.listener.more_addresses.end());
  for (const net::Address& configured : wanted) {
    request.address = configured;
    for (const net::Address& address : options_.sockets.Addresses(request)) {
      const bool has_any_port = address.is_ip() && address.port() == 0;
      std::string key = has_any_port ? plan.listener.name + "@" + address.text() : address.text();
      std::shared_ptr<ListenerSockets>& sockets = sockets_[key];
      if (sockets == nullptr) {
        auto bound = options_.sockets.Listen(request, address, options_.workers);
        if (!bound.ok()) {
          sockets_.erase(key);
          return bound.status();
        }
        sockets = std::make_shared<ListenerSockets>(*std::move(bound));
      }
      opened.push_back(sockets);
    }
  }
  return opened;
}

void Model::UpdateWanted() {
  Wanted wanted;
  std::set<std::string> doubled;
  for (const auto& [name, cluster] : clusters_) {
    const ClusterPlan& plan = *cluster.plan;
    if (!plan.endpoint_name.empty())
      AddWanted({{plan.endpoint_name, plan.endpoint_source}}, wanted.endpoints, doubled);
    AddWanted(plan.secret_sources(), wanted.secrets, doubled);
  }
  for (const auto& [name, listener] : listeners_) {
    AddWanted(listener.plan->routes(), wanted.routes, doubled);
    AddWanted(listener.plan->secret_sources(), wanted.secrets, doubled);
  }
  if (wanted == wanted_) return;
  for (const std::string& name : doubled)
    MELTEMI_LOG(warn, "'{}' is asked of two sources: the one named first is used", name);
  wanted_ = std::move(wanted);
  std::erase_if(assignments_,
                [&](const auto& entry) { return !wanted_.endpoints.contains(entry.first); });
  std::erase_if(routes_, [&](const auto& entry) { return !wanted_.routes.contains(entry.first); });
  if (on_wanted_) on_wanted_();
}

}  // namespace meltemi::proxy
