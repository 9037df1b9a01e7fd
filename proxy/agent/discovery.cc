// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "proxy/agent/file_client.h"

namespace meltemi::proxy {
namespace {

std::string NameOf(const ConfigSource& source) {
  if (source.file) return "configuration file";
  return source.grpc ? fmt::format("xDS server '{}'", source.grpc->cluster) : "control plane";
}

}  // namespace

Discovery::Discovery(runtime::Loop& loop, ConfigSink& sink, Options options)
    : loop_(loop),
      sink_(sink),
      options_(std::move(options)),
      fetch_timer_(loop, [this] { options_.adopted(); }),
      close_timer_(loop, [this] { CloseUnused(); }) {}

Discovery::~Discovery() {
  sink_.OnWantedChanged(nullptr);
}

Discovery::Key Discovery::KeyOf(xds::Type type, const ConfigSource& source) const {
  if (source.is_aggregated()) return {source, std::nullopt};
  return {source, type};
}

void Discovery::Start() {
  started_ = loop_.Now();
  const DynamicResources& from = options_.resources;
  Duration longest{};
  for (const auto& [type, initial] : {std::pair(xds::Type::kCluster, from.clusters),
                                      std::pair(xds::Type::kListener, from.listeners)}) {
    if (!initial) continue;
    Open(KeyOf(type, initial->source));
    longest = std::max(longest, initial->fetch_timeout);
  }
  if (longest.count() > 0) fetch_timer_.Arm(longest);
  sink_.OnWantedChanged([this] { Follow(); });
  Follow();
}

void Discovery::Open(const Key& key) {
  std::unique_ptr<Subscription>& at = subscriptions_[key];
  if (at != nullptr) {
    at->is_used = true;
    return;
  }
  at = std::make_unique<Subscription>();
  at->receiver = std::make_unique<ConfigReceiver>(sink_, ReceiverOptions(key));
  if (key.source.file) {
    at->client = std::make_unique<FileClient>(loop_, *key.source.file, *key.only, *at->receiver);
  } else {
    OpenStream(key, *at);
  }
  at->receiver->Attach(*at->client);
  at->client->Start();
}

ConfigReceiver::Options Discovery::ReceiverOptions(const Key& key) {
  ConfigReceiver::Options to;
  to.server = NameOf(key.source);
  to.adopted = options_.adopted;
  to.is_asked = [this, key](xds::Type type, const std::string&, const ConfigSource& source) {
    return KeyOf(type, source) == key;
  };
  to.whole.clear();
  const DynamicResources& from = options_.resources;
  if (from.clusters && KeyOf(xds::Type::kCluster, from.clusters->source) == key)
    to.whole.push_back(xds::Type::kCluster);
  if (from.listeners && KeyOf(xds::Type::kListener, from.listeners->source) == key)
    to.whole.push_back(xds::Type::kListener);
  return to;
}

void Discovery::OpenStream(const Key& key, Subscription& to) {
  const GrpcSource& source = key.source.grpc ? *key.source.grpc : *options_.resources.aggregated;
  grpc::ChannelOptions channel;
  channel.authority = source.authority.empty() ? source.cluster : source.authority;
  to.channel = grpc::Channel::Create(
      loop_,
      [this, cluster = source.cluster, at = &to] { return options_.target(cluster, at->turn++); },
      std::move(channel));
  xds::ClientOptions client;
  client.node = options_.node;
  client.random = options_.random;
  client.is_incremental = source.is_incremental;
  client.only = key.only;
  client.metadata = [metadata =
                         source.metadata]() -> StatusOr<std::multimap<std::string, std::string>> {
    return metadata;
  };
  to.client = xds::Client::Create(loop_, *to.channel, *to.receiver, std::move(client));
}

void Discovery::Follow() {
  const Wanted wanted = sink_.wanted();
  const auto open = [&](xds::Type type, const SourcedNames& names) {
    for (const auto& [name, source] : names) {
      if (!source.is_aggregated() || options_.resources.aggregated) Open(KeyOf(type, source));
    }
  };
  open(xds::Type::kEndpoint, wanted.endpoints);
  open(xds::Type::kRoute, wanted.routes);
  open(xds::Type::kSecret, wanted.secrets);
  bool has_unused = false;
  for (const auto& [key, subscription] : subscriptions_) {
    subscription->is_used = subscription->receiver->Follow(wanted);
    has_unused = has_unused || !subscription->is_used;
  }
  // Not here: a client may be in the middle of telling what it got.
  if (has_unused) close_timer_.Arm(Duration::zero());
}

void Discovery::CloseUnused() {
  std::erase_if(subscriptions_, [](const auto& entry) { return !entry.second->is_used; });
}

bool Discovery::HasInitial(xds::Type type, const std::optional<InitialSource>& initial) const {
  if (!initial) return true;
  const auto found = subscriptions_.find(KeyOf(type, initial->source));
  if (found != subscriptions_.end() && found->second->receiver->has_adopted(type)) return true;
  return initial->fetch_timeout.count() > 0 && loop_.Now() - started_ >= initial->fetch_timeout;
}

bool Discovery::has_initial() const {
  return HasInitial(xds::Type::kCluster, options_.resources.clusters) &&
         HasInitial(xds::Type::kListener, options_.resources.listeners);
}

xds::ClientCounters Discovery::counters() const {
  xds::ClientCounters sum;
  for (const auto& [key, subscription] : subscriptions_) sum.Add(subscription->client->counters());
  return sum;
}

size_t Discovery::connected() const {
  return static_cast<size_t>(
      std::count_if(subscriptions_.begin(), subscriptions_.end(),
                    [](const auto& entry) { return entry.second->client->is_up(); }));
}

}  // namespace meltemi::proxy
