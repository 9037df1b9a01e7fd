// SPDX-License-Identifier: Apache-2.0
// One discovery stream on the server. Model-thread only; lives as long as the call.
//
// For each type:
//
//     ┌──────┐ first request ┌──────────┐ something to send  ┌───────────┐
//     │ none ├──────────────►│ settled  ├───────────────────►│ in flight │
//     └──────┘               └──────────┘◄───────────────────┤           │
//                                          ACK or NACK       └───────────┘
//
// Invariants:
//  1. One response per type is in flight; what changes meanwhile is gathered and sent as one after
//  the ACK.
//  2. Types go out in the order of Type. A type that changed but is in flight holds back changes of
//  later
//     types (a route must not overtake its cluster); answers to subscriptions are never held back.
//  3. Clusters and endpoints that ceased to exist are taken away after listeners and routes have
//  settled.
//  4. A cluster that was sent is followed by its endpoints, changed or not: an Envoy warms it with
//  them.
//  5. A type counts as rejected until each resource that the rejection names is accepted in a newer
//  form or is gone; a rejection that names none, until the next ACK.
//  6. Nothing is sent while kBacklogBytesMax wait for a slow reader.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "lib/grpc/server.h"
#include "lib/xds/framing.h"
#include "lib/xds/source.h"
#include "lib/xds/subscription.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace meltemi::xds {

class AdsServer;

inline constexpr size_t kSubscribedNamesMax = 200'000;  // per type and stream
inline constexpr size_t kBacklogBytesMax = 16 * 1024 * 1024;
// Larger responses are kept for status without their names: the next ACK of the type counts.
inline constexpr size_t kTracedNamesMax = 256;
inline constexpr size_t kTypes = static_cast<size_t>(Type::kCount);

// CDS, LDS and the name table: asked for without names, and in state-of-the-world a response is
// everything.
constexpr bool IsWholeStateType(Type type) {
  return type == Type::kCluster || type == Type::kListener || type == Type::kNameTable;
}

struct TypeStatus {
  Type type;
  bool is_in_flight;
  size_t held;
  uint64_t acked_version;  // snapshot version of the last accepted response, 0 = none
  std::string error;       // why the proxy rejected something that still holds
};

struct SessionStatus {
  std::string node_id, cluster, peer, identity;
  bool is_delta;
  WallTime connected_at;
  uint64_t live_version;  // the proxy has accepted everything up to here
  bool is_settled;        // nothing to send, no answer outstanding; rejections may stand
  std::vector<TypeStatus> types;
};

class Session : public grpc::CallHandler {
 public:
  // `only` = the stream's single type (the services beside ADS); nullopt = any.
  Session(AdsServer& server, grpc::ServerCall& call, std::optional<Type> only);
  ~Session() override;
  void OnClientDone() override;
  void OnDrained() override { Pump(); }
  void OnEnd() override;
  SessionStatus Status() const;
  uint64_t live_version() const;
  bool is_connected() const { return view_ != nullptr; }

 protected:
  struct TypeState {
    Subscription subscription;
    bool is_active = false;
    bool is_in_flight = false;
    bool is_due = false;  // a subscription wants an answer, even an empty one
    bool is_everything_changed = false;
    absl::flat_hash_set<std::string> changed;
    absl::flat_hash_set<std::string> leaving;  // gone, to be told after routes have settled
    std::vector<std::string> vanished;         // known to a reconnecting client, exists no more
    std::string nonce;
    uint64_t sent_version = 0;
    uint64_t acked_version = 0;
    std::string error;
    std::vector<std::string> traced;            // names of the response in flight
    absl::flat_hash_set<std::string> rejected;  // names that rejections spoke of

    bool has_changes() const {
      return is_everything_changed || !changed.empty() || !vanished.empty();
    }
  };

  // What a request of either form says, without its names.
  struct RequestHead {
    const envoy::config::core::v3::Node* node;
    std::string_view type_url;
  };
  // nullopt = nothing more to do with this request (refused, unknown type).
  std::optional<Type> Begin(const RequestHead& head);
  // Records an ACK, or with `error` a NACK.
  void Settle(Type type, const std::string* error);
  // The client gave the name up; a rejection of it no longer counts.
  void Forgive(Type type, const std::string& name);
  bool CheckNames(Type type);
  void Pump();
  void Refuse(int code, std::string message);

  // Sends what the type has to send, if anything. Without `may_remove` what is gone goes to
  // `leaving`.
  virtual bool SendType(Type type, bool may_remove) = 0;
  // Records what `nonce` carried; `changed` = what the client did not hold before.
  void Sent(Type type, const std::string& nonce, const std::vector<ResourcePtr>& changed,
            const std::vector<std::string>& removed);
  // Whether a cluster of this name went out before the client asked for endpoints.
  bool AwaitsEndpoints(const std::string& cluster) const {
    return clusters_without_endpoints_.contains(cluster);
  }
  ResponseHead NextHead(Type type);

  TypeState& state(Type type) { return types_[static_cast<size_t>(type)]; }
  const TypeState& state(Type type) const { return types_[static_cast<size_t>(type)]; }
  View& view() { return *view_; }
  grpc::ServerCall& call() { return call_; }
  virtual bool is_delta() const = 0;

 private:
  bool Connect(const envoy::config::core::v3::Node& node);
  void OnChange(const std::vector<Change>& changes);
  bool IsRoutingPending() const;
  bool is_settled() const;
  bool is_rejecting() const;
  bool is_clogged() const { return call_.queued_bytes() >= kBacklogBytesMax; }
  void RenewEndpoints(const std::vector<ResourcePtr>& clusters);

  AdsServer& server_;
  grpc::ServerCall& call_;
  const std::optional<Type> only_;
  NodeInfo node_;
  WallTime connected_at_{};
  std::unique_ptr<View> view_;
  std::array<TypeState, kTypes> types_;
  uint64_t nonce_count_ = 0;
  uint64_t settled_version_ = 0;
  absl::flat_hash_set<std::string> clusters_without_endpoints_;
  bool is_finished_ = false;
};

std::unique_ptr<Session> MakeSotwSession(AdsServer& server, grpc::ServerCall& call,
                                         std::optional<Type> only);
std::unique_ptr<Session> MakeDeltaSession(AdsServer& server, grpc::ServerCall& call,
                                          std::optional<Type> only);

}  // namespace meltemi::xds
