// SPDX-License-Identifier: Apache-2.0
// Between the xDS client and the configuration sink: what came is taken, published, and settled
// once the workers run on it; what taken configuration needs next is subscribed. Control thread
// only.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "lib/xds/client.h"
#include "proxy/config/sink.h"

namespace meltemi::proxy {

class ConfigReceiver final : public xds::ClientHandler {
 public:
  struct Options {
    std::function<bool(std::string_view)> is_local_secret;  // not asked of the control plane
    // A name table has come (serialized); an error refuses it. None = not subscribed.
    std::function<Status(std::string_view)> take_names;
    std::function<void()> adopted;  // something new is in use
    // The sink wants these secrets now, of whatever origin. None = nobody else cares.
    std::function<void(const std::set<std::string>&)> wants_secrets = {};
  };
  // `sink` outlives the receiver; nothing may be adopted after the receiver has gone.
  ConfigReceiver(ConfigSink& sink, Options options);

  // Subscribes now and whenever the sink wants something else. `client` outlives its use here.
  void Attach(xds::Client& client);

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
  void Follow();

  ConfigSink& sink_;
  const Options options_;
  xds::Client* client_ = nullptr;
  std::array<bool, static_cast<size_t>(xds::Type::kCount)> adopted_{};
  std::set<std::string> endpoints_, routes_;  // names given to the sink, while it wants them
  bool is_connected_ = false;
  std::string last_reason_;  // why the stream is down: the same is said once
};

}  // namespace meltemi::proxy
