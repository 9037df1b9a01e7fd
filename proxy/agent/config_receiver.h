// SPDX-License-Identifier: Apache-2.0
// Between the xDS client and the configuration sink: what came is taken, published, and settled
// once the workers run on it; what taken configuration needs next is subscribed. Control thread
// only.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/xds/client.h"
#include "proxy/config/sink.h"

namespace meltemi::proxy {

class ConfigReceiver final : public xds::ClientHandler {
 public:
  struct Options {
    std::string server = "control plane";  // for the log
    // Subscribed as a whole.
    std::vector<xds::Type> whole = {xds::Type::kCluster, xds::Type::kListener};
    // Which of the names that the sink wants are asked for here.
    std::function<bool(xds::Type, const std::string& name, const ConfigSource&)> is_asked;
    // A name table has come (serialized); an error refuses it. None = not subscribed.
    std::function<Status(std::string_view)> take_names = {};
    std::function<void()> adopted;  // something new is in use
  };
  // `sink` outlives the receiver. What is adopted after the receiver has gone is told to nobody.
  ConfigReceiver(ConfigSink& sink, Options options);

  // Subscribes; `client` outlives its use here.
  void Attach(xds::Client& client);
  // To be called whenever the sink wants something else. False: nothing is asked for here.
  bool Follow(const Wanted& wanted);

  bool has_adopted(xds::Type type) const { return adopted_[static_cast<size_t>(type)]; }
  bool is_connected() const { return is_connected_; }

 private:
  void OnUpdate(const xds::ClientUpdate& update, xds::Settle settle) override;
  void OnStreamUp() override;
  void OnStreamDown(const std::string& reason) override;
  // Resources the server says do not exist, or no longer: the sink waits for none of them and
  // loses none it has.
  void AddMissing(const xds::ClientUpdate& update, std::vector<ResourceUpdate>& changed,
                  std::vector<std::string>& messages);
  void TakeNames(const xds::ClientUpdate& update, const xds::Settle& settle);
  std::set<std::string> Asked(xds::Type type, const SourcedNames& wanted) const;

  ConfigSink& sink_;
  const std::shared_ptr<ConfigReceiver*> self_ = std::make_shared<ConfigReceiver*>(this);
  const Options options_;
  xds::Client* client_ = nullptr;
  std::array<bool, static_cast<size_t>(xds::Type::kCount)> adopted_{};
  std::set<std::string> endpoints_, routes_;  // names given to the sink, while it wants them
  bool is_connected_ = false;
  std::string last_reason_;  // why the stream is down: the same is said once
};

}  // namespace meltemi::proxy
