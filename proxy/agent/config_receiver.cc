// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/config_receiver.h"

#include <utility>

#include "lib/base/log.h"

namespace meltemi::proxy {

ConfigReceiver::ConfigReceiver(ConfigSink& sink, Options options)
    : sink_(sink), options_(std::move(options)) {}

void ConfigReceiver::Attach(xds::Client& client) {
  client_ = &client;
  client.SubscribeAll(xds::Type::kCluster);
  client.SubscribeAll(xds::Type::kListener);
  if (options_.take_names) client.SubscribeAll(xds::Type::kNameTable);
  sink_.OnWantedChanged([this] { Follow(); });
  Follow();
}

void ConfigReceiver::Follow() {
  const Wanted wanted = sink_.wanted();
  client_->Subscribe(xds::Type::kEndpoint, wanted.endpoints);
  client_->Subscribe(xds::Type::kRoute, wanted.routes);
  if (options_.wants_secrets) options_.wants_secrets(wanted.secrets);
  std::set<std::string> secrets = wanted.secrets;
  std::erase_if(secrets,
                [this](const std::string& name) { return options_.is_local_secret(name); });
  client_->Subscribe(xds::Type::kSecret, secrets);
}

void ConfigReceiver::OnUpdate(const xds::ClientUpdate& update, xds::Settle settle) {
  if (update.type == xds::Type::kNameTable) return TakeNames(update, settle);
  std::vector<ResourceUpdate> changed;
  changed.reserve(update.changed.size());
  for (const xds::ClientResource& resource : update.changed)
    changed.push_back({resource.name, resource.message, resource.version});
  std::vector<xds::ClientRefusal> refusals;
  for (Rejection& rejection : sink_.Update(update.type, changed, update.removed)) {
    MELTEMI_LOG(warn, "refused {}: {}", rejection.name, rejection.reason);
    refusals.push_back({std::move(rejection.name), std::move(rejection.reason)});
  }
  MELTEMI_LOG(debug, "{}: {} changed, {} removed, {} refused", xds::TypeUrl(update.type),
              changed.size(), update.removed.size(), refusals.size());
  sink_.Commit(
      [this, type = update.type, settle = std::move(settle), refusals = std::move(refusals)] {
        adopted_[static_cast<size_t>(type)] = true;
        settle(refusals);
        options_.adopted();
      });
}

void ConfigReceiver::TakeNames(const xds::ClientUpdate& update, const xds::Settle& settle) {
  std::vector<xds::ClientRefusal> refusals;
  for (const xds::ClientResource& resource : update.changed) {
    const Status status = options_.take_names(resource.message);
    if (!status.ok()) refusals.push_back({resource.name, std::string(Message(status))});
  }
  adopted_[static_cast<size_t>(xds::Type::kNameTable)] = true;
  settle(std::move(refusals));
  options_.adopted();
}

void ConfigReceiver::OnStreamUp() {
  is_connected_ = true;
  last_reason_.clear();
  MELTEMI_LOG(info, "connected to the control plane");
}

void ConfigReceiver::OnStreamDown(const std::string& reason) {
  const bool was_connected = std::exchange(is_connected_, false);
  if (!was_connected && reason == last_reason_) return;
  last_reason_ = reason;
  MELTEMI_LOG(warn, "no control plane: {}; serving what is there, trying again", reason);
}

}  // namespace meltemi::proxy
