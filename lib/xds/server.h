// SPDX-License-Identifier: Apache-2.0
// The discovery service over a Source: ADS in both forms, and the services of single types.
// Model-thread only. Outlives the grpc::Server that runs its methods.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/grpc/server.h"
#include "lib/xds/session.h"
#include "lib/xds/source.h"

namespace meltemi::xds {

struct AdsOptions {
  // Who the peer is, as a SPIFFE id ("" on plain text), or why it may not have this node's
  // configuration.
  std::function<StatusOr<std::string>(const grpc::PeerInfo&, const NodeInfo&)> admit;
  // Before the first configuration is complete streams are refused: no proxy gets an empty mesh.
  std::function<bool()> is_ready;
  // A proxy came, went, accepted or rejected: what Status() says may differ. May come often.
  std::function<void()> on_progress = {};
};

class AdsServer final {
 public:
  AdsServer(Source& source, const Clock& clock, AdsOptions options);
  AdsServer(const AdsServer&) = delete;
  AdsServer& operator=(const AdsServer&) = delete;

  grpc::MethodTable Methods();
  std::vector<SessionStatus> Status() const;  // of connected proxies, by node id
  uint64_t responses_sent(Type type) const { return responses_sent_[static_cast<size_t>(type)]; }
  uint64_t rejections(Type type) const { return rejections_[static_cast<size_t>(type)]; }
  // The oldest configuration a connected proxy lives on; the present one when none is connected.
  uint64_t live_version() const;

 private:
  friend class Session;
  Source& source() { return source_; }
  const Source& source() const { return source_; }
  const Clock& clock() const { return clock_; }
  bool is_ready() const { return options_.is_ready == nullptr || options_.is_ready(); }
  void Progress() const {
    if (options_.on_progress != nullptr) options_.on_progress();
  }
  StatusOr<std::string> Admit(const grpc::PeerInfo& peer, const NodeInfo& node) const {
    if (options_.admit == nullptr) return std::string();
    return options_.admit(peer, node);
  }

  Source& source_;
  const Clock& clock_;
  AdsOptions options_;
  std::set<Session*> sessions_;
  std::array<uint64_t, kTypes> responses_sent_{};
  std::array<uint64_t, kTypes> rejections_{};
};

}  // namespace meltemi::xds
