// SPDX-License-Identifier: Apache-2.0
// Subscribes what configuration names, where it names it: the bootstrap's aggregated stream,
// streams of one type to other clusters, files. Control thread only.
//
//   sink wants names ─▶ by source: one client each ─▶ ConfigReceiver ─▶ sink
//
// A source that nothing names any more is closed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "lib/grpc/client.h"
#include "lib/xds/client.h"
#include "proxy/agent/config_receiver.h"
#include "proxy/config/bootstrap.h"
#include "proxy/config/config_source.h"
#include "proxy/config/sink.h"

namespace meltemi::proxy {

class Discovery final {
 public:
  struct Options {
    DynamicResources resources;
    std::string node;  // serialized envoy.config.core.v3.Node
    // Where the control thread connects for a cluster's name; `turn` grows with each attempt.
    std::function<StatusOr<grpc::Target>(const std::string& cluster, size_t turn)> target;
    std::function<double()> random;  // in [0, 1)
    std::function<void()> adopted;   // something new is in use
  };
  // `sink` outlives this object.
  Discovery(runtime::Loop& loop, ConfigSink& sink, Options options);
  ~Discovery();

  void Start();
  // Clusters and listeners have come, or their initial_fetch_timeout has passed.
  bool has_initial() const;
  // Of all sources together.
  xds::ClientCounters counters() const;
  size_t connected() const;
  size_t sources() const { return subscriptions_.size(); }

 private:
  struct Key {
    ConfigSource source;
    std::optional<xds::Type> only;  // not set: the aggregated stream
    auto operator<=>(const Key&) const = default;
  };
  struct Subscription {
    std::unique_ptr<ConfigReceiver> receiver;
    std::unique_ptr<grpc::Channel> channel;
    std::unique_ptr<xds::Client> client;
    size_t turn = 0;
    bool is_used = true;
  };
  Key KeyOf(xds::Type type, const ConfigSource& source) const;
  void Open(const Key& key);
  ConfigReceiver::Options ReceiverOptions(const Key& key);
  void OpenStream(const Key& key, Subscription& to);
  void Follow();
  void CloseUnused();
  bool HasInitial(xds::Type type, const std::optional<InitialSource>& source) const;

  runtime::Loop& loop_;
  ConfigSink& sink_;
  const Options options_;
  std::map<Key, std::unique_ptr<Subscription>> subscriptions_;
  MonotonicTime started_{};
  runtime::Timer fetch_timer_;  // an initial_fetch_timeout passes
  runtime::Timer close_timer_;
};

}  // namespace meltemi::proxy
