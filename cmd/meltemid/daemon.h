// SPDX-License-Identifier: Apache-2.0
// The control plane as one object: stores → Pilot → discovery sessions, the authority, the API, the
// monitoring port. One loop, one thread.
//
// Members stand in the order of who needs whom; they end in the reverse one.
#pragma once

#include <functional>
#include <memory>

#include "citadel/authenticator.h"
#include "citadel/authority.h"
#include "citadel/csr_service.h"
#include "citadel/server_identity.h"
#include "citadel/token_issuer.h"
#include "cmd/meltemid/config_feed.h"
#include "cmd/meltemid/flags.h"
#include "cmd/meltemid/live_waits.h"
#include "cmd/meltemid/monitoring.h"
#include "galley/api/api.h"
#include "galley/store/directory_store.h"
#include "galley/store/embedded_store.h"
#include "lib/grpc/server.h"
#include "lib/xds/server.h"
#include "pilot/pilot.h"

namespace meltemi::cmd {

class Daemon final {
 public:
  // Errors are sentences for the user: what is wrong, and on a line of its own what to do.
  static StatusOr<std::unique_ptr<Daemon>> Start(runtime::Loop& loop, Flags flags);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Takes nothing new, tells every client to go, and calls `done` when they have gone or the time
  // for it is over.
  void Drain(std::function<void()> done);

 private:
  Daemon(runtime::Loop& loop, Flags flags);
  Status Open();
  Status OpenAuthority();
  Status OpenStores();
  Status StartApi();
  // What the API is over.
  config::Store& store() const;
  Status StartDiscovery();
  StatusOr<std::string> Admit(const grpc::PeerInfo& peer, const xds::NodeInfo& node) const;
  void EndWhenIdle();

  runtime::Loop& loop_;
  Flags flags_;
  bool is_ready_ = false;
  // Before the servers: sessions that end with them look at both.
  std::function<void()> on_drained_;
  runtime::Timer drain_timer_;
  istio::mesh::v1alpha1::MeshConfig mesh_;
  std::unique_ptr<citadel::Authority> authority_;
  std::unique_ptr<citadel::TokenIssuer> tokens_;
  std::unique_ptr<citadel::Authenticator> authenticator_;
  std::unique_ptr<citadel::CsrService> csr_;
  std::unique_ptr<citadel::ServerIdentity> identity_;
  std::unique_ptr<galley::EmbeddedStore> embedded_;
  std::unique_ptr<galley::DirectoryStore> directory_;
  std::unique_ptr<pilot::Pilot> pilot_;
  std::unique_ptr<xds::AdsServer> ads_;
  std::unique_ptr<ConfigFeed> feed_;
  std::unique_ptr<LiveWaits> waits_;
  std::unique_ptr<galley::Api> api_;
  std::unique_ptr<grpc::Server> secure_;
  std::unique_ptr<grpc::Server> plaintext_;
  std::unique_ptr<Monitoring> monitoring_;
};

}  // namespace meltemi::cmd
