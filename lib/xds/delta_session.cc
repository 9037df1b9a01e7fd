// SPDX-License-Identifier: Apache-2.0
// Incremental xDS: subscriptions change by difference, responses hold what changed and what is
// gone, and a reconnecting client says which versions it has.
#include <algorithm>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/xds/server.h"
#include "lib/xds/session.h"

namespace meltemi::xds {
namespace {

constexpr int kInvalidArgument = 3;
using DeltaRequest = envoy::service::discovery::v3::DeltaDiscoveryRequest;

class DeltaSession final : public Session {
 public:
  using Session::Session;

  void OnMessage(std::string_view message) override {
    DeltaRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return Refuse(kInvalidArgument, "not a DeltaDiscoveryRequest");
    }
    const std::string* error =
        request.has_error_detail() ? &request.error_detail().message() : nullptr;
    const auto type = Begin({&request.node(), request.type_url()});
    if (!type.has_value()) return;
    TypeState& s = state(*type);
    if (s.is_in_flight && request.response_nonce() == s.nonce) Settle(*type, error);
    // Subscriptions count whatever the nonce says: they are differences, losing one would be for
    // good.
    if (s.is_active) {
      Subscribe(*type, request);
    } else {
      Start(*type, request);
    }
    Unsubscribe(*type, request);
    if (CheckNames(*type)) Pump();
  }

 private:
  struct Difference {
    std::vector<ResourcePtr> changed;
    std::vector<std::string> removed;
  };

  void Start(Type type, const DeltaRequest& request) {
    TypeState& s = state(type);
    s.is_active = s.is_everything_changed = true;
    const bool is_wildcard = IsWholeStateType(type) && request.resource_names_subscribe().empty();
    if (is_wildcard) s.subscription.StartWildcard();
    for (const std::string& name : request.resource_names_subscribe()) {
      name == "*" ? s.subscription.StartWildcard() : void(s.subscription.Add(name));
    }
    // An empty configuration is an answer too: the client's start waits for it.
    s.is_due = s.subscription.is_wildcard() && request.initial_resource_versions().empty();
    for (const auto& [name, version] : request.initial_resource_versions()) {
      if (!s.subscription.is_wildcard()) s.subscription.Add(name);
      const ResourcePtr found = view().Find(type, name);
      if (found == nullptr) {
        s.vanished.push_back(name);
        s.subscription.TellMissing(name);
      } else if (VersionText(found->version) == version &&
                 !(type == Type::kEndpoint && AwaitsEndpoints(name))) {
        s.subscription.Hold(found);
      }
    }
  }

  void Subscribe(Type type, const DeltaRequest& request) {
    TypeState& s = state(type);
    for (const std::string& name : request.resource_names_subscribe()) {
      if (name == "*") {
        if (s.subscription.is_wildcard()) continue;
        s.subscription.StartWildcard();
        s.is_everything_changed = s.is_due = true;
        continue;
      }
      // Asked for again: the client may have forgotten it, so it is sent whatever the version.
      s.subscription.Add(name);
      s.subscription.Drop(name, /*is_told=*/false);
      s.changed.insert(name);
      s.is_due = true;
    }
  }

  void Unsubscribe(Type type, const DeltaRequest& request) {
    TypeState& s = state(type);
    for (const std::string& name : request.resource_names_unsubscribe()) {
      s.changed.erase(name);
      s.leaving.erase(name);
      if (name == "*") {
        s.subscription.StopWildcard();
        continue;
      }
      const bool was_named = s.subscription.IsNamed(name);
      s.subscription.Remove(name);
      if (s.subscription.is_wildcard() && was_named) {
        TellAgain(type, name);
      } else {
        Forgive(type, name);
      }
    }
  }

  // The client cannot know whether the wildcard still covers a name it gave up: it is told.
  void TellAgain(Type type, const std::string& name) {
    TypeState& s = state(type);
    if (view().Find(type, name) == nullptr) {
      s.vanished.push_back(name);
    } else {
      s.subscription.Drop(name, /*is_told=*/false);
      s.changed.insert(name);
    }
    s.is_due = true;
  }

  bool SendType(Type type, bool may_remove) override {
    TypeState& s = state(type);
    Difference difference = Collect(type, may_remove);
    const bool must_answer = s.is_due && s.subscription.is_wildcard() && s.is_everything_changed;
    s.is_due = s.is_everything_changed = false;
    s.changed.clear();
    if (difference.changed.empty() && difference.removed.empty() && !must_answer) return false;
    const ResponseHead head = NextHead(type);
    call().Send(FrameDelta(head, difference.changed, difference.removed));
    Sent(type, head.nonce, difference.changed, difference.removed);
    return true;
  }

  Difference Collect(Type type, bool may_remove) {
    TypeState& s = state(type);
    Difference difference;
    difference.removed.swap(s.vanished);
    if (!s.is_everything_changed) {
      for (const std::string& name : s.changed) Compare(type, name, may_remove, difference);
    } else {
      CollectEverything(type, may_remove, difference);
    }
    for (const ResourcePtr& resource : difference.changed) s.subscription.Hold(resource);
    return difference;
  }

  void CollectEverything(Type type, bool may_remove, Difference& difference) {
    TypeState& s = state(type);
    std::vector<std::string> names = s.subscription.Names();
    if (s.subscription.is_wildcard()) {
      absl::flat_hash_set<std::string> present;
      for (const ResourcePtr& resource : view().All(type)) {
        present.insert(resource->name);
        CompareFound(type, resource, difference);
      }
      for (const ResourcePtr& held : s.subscription.AllHeld()) {
        if (!present.contains(held->name)) names.push_back(held->name);
      }
      std::sort(names.begin(), names.end());
      names.erase(std::unique(names.begin(), names.end()), names.end());
      std::erase_if(names, [&](const std::string& name) { return present.contains(name); });
    }
    for (const std::string& name : names) Compare(type, name, may_remove, difference);
  }

  void CompareFound(Type type, const ResourcePtr& found, Difference& difference) {
    const ResourcePtr held = state(type).subscription.Held(found->name);
    if (held == nullptr || held->version != found->version) difference.changed.push_back(found);
  }

  void Compare(Type type, const std::string& name, bool may_remove, Difference& difference) {
    TypeState& s = state(type);
    if (!s.subscription.Covers(name)) return;
    if (const ResourcePtr found = view().Find(type, name)) {
      s.leaving.erase(name);
      return CompareFound(type, found, difference);
    }
    if (s.subscription.Held(name) != nullptr) {
      if (!may_remove) {
        s.leaving.insert(name);
        return;
      }
      s.subscription.Drop(name, /*is_told=*/true);
      difference.removed.push_back(name);
    } else if (s.subscription.IsNamed(name) && !s.subscription.IsToldMissing(name)) {
      s.subscription.TellMissing(name);
      difference.removed.push_back(name);
    }
  }

  bool is_delta() const override { return true; }
};

}  // namespace

std::unique_ptr<Session> MakeDeltaSession(AdsServer& server, grpc::ServerCall& call,
                                          std::optional<Type> only) {
  return std::make_unique<DeltaSession>(server, call, only);
}

}  // namespace meltemi::xds
