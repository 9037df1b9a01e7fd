// SPDX-License-Identifier: Apache-2.0
// State of the world: a request names everything the client wants of a type. For whole-state types
// a response is everything (absence deletes); for the others it holds what changed.
#include <algorithm>
#include <optional>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/xds/server.h"
#include "lib/xds/session.h"

namespace meltemi::xds {
namespace {

constexpr int kInvalidArgument = 3;

class SotwSession final : public Session {
 public:
  using Session::Session;

  void OnMessage(std::string_view message) override {
    envoy::service::discovery::v3::DiscoveryRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return Refuse(kInvalidArgument, "not a DiscoveryRequest");
    }
    const std::string* error =
        request.has_error_detail() ? &request.error_detail().message() : nullptr;
    const auto type = Begin({&request.node(), request.type_url()});
    if (!type.has_value()) return;
    TypeState& s = state(*type);
    // A nonce that is not the last one sent: the client has not seen our newest response yet.
    if (!request.response_nonce().empty() && s.is_active && request.response_nonce() != s.nonce) {
      return;
    }
    if (s.is_in_flight && !request.response_nonce().empty()) Settle(*type, error);
    Subscribe(*type, {request.resource_names().begin(), request.resource_names().end()},
              request.response_nonce().empty());
    if (CheckNames(*type)) Pump();
  }

 private:
  // Istio's order of cases: no names on a named type ends the subscription, on a wildcard type it
  // means all.
  void Subscribe(Type type, const std::vector<std::string>& names, bool is_first) {
    TypeState& s = state(type);
    const bool is_new = !s.is_active || is_first;
    const bool wants_all =
        std::find(names.begin(), names.end(), "*") != names.end() ||
        (names.empty() && IsWholeStateType(type) && (is_new || s.subscription.is_wildcard()));
    s.is_active = true;
    if (is_new) {
      s.is_in_flight = false;
      s.is_due = s.is_everything_changed = true;
      for (const ResourcePtr& resource : s.subscription.AllHeld()) {
        s.subscription.Drop(resource->name, false);
      }
    }
    bool is_changed = wants_all != s.subscription.is_wildcard();
    wants_all ? s.subscription.StartWildcard() : s.subscription.StopWildcard();
    const absl::flat_hash_set<std::string> wanted(names.begin(), names.end());
    for (const std::string& name : s.subscription.Names()) {
      if (wanted.contains(name)) continue;
      s.subscription.Remove(name);
      Forgive(type, name);
    }
    for (const std::string& name : wanted) {
      if (name == "*" || !s.subscription.Add(name)) continue;
      s.changed.insert(name);
      is_changed = true;
    }
    if (is_changed) s.is_due = true;
    if (is_changed && IsWholeStateType(type)) s.is_everything_changed = true;
  }

  bool SendType(Type type, bool may_remove) override {
    TypeState& s = state(type);
    changed_.clear();
    const auto resources =
        IsWholeStateType(type) ? CollectWhole(type, may_remove) : CollectChanged(type);
    s.is_due = s.is_everything_changed = false;
    s.changed.clear();
    if (!resources.has_value()) return false;
    const ResponseHead head = NextHead(type);
    call().Send(FrameSotw(head, *resources));
    Sent(type, head.nonce, changed_, gone_);
    return true;
  }

  // Everything when anything differs from what the client holds or an answer is due, else nothing.
  std::optional<std::vector<ResourcePtr>> CollectWhole(Type type, bool may_remove) {
    TypeState& s = state(type);
    gone_.clear();
    std::vector<ResourcePtr> all = Present(type);
    absl::flat_hash_set<std::string> present;
    for (const ResourcePtr& resource : all) {
      present.insert(resource->name);
      const ResourcePtr held = s.subscription.Held(resource->name);
      if (held == nullptr || held->version != resource->version) changed_.push_back(resource);
    }
    std::vector<ResourcePtr> gone = s.subscription.AllHeld();
    std::erase_if(gone, [&](const ResourcePtr& r) { return present.contains(r->name); });
    const bool is_different = s.is_due || !changed_.empty() || (may_remove && !gone.empty());
    for (const ResourcePtr& resource : gone) {
      if (may_remove) {
        gone_.push_back(resource->name);
        s.subscription.Drop(resource->name, true);
      } else {
        s.leaving.insert(resource->name);
        all.push_back(resource);  // absence would delete it
      }
    }
    if (!is_different) return std::nullopt;
    for (const ResourcePtr& resource : all) s.subscription.Hold(resource);
    return all;
  }

  std::vector<ResourcePtr> Present(Type type) {
    const Subscription& subscription = state(type).subscription;
    if (subscription.is_wildcard()) return view().All(type);
    std::vector<ResourcePtr> present;
    for (const std::string& name : subscription.Names()) {
      if (ResourcePtr found = view().Find(type, name)) present.push_back(std::move(found));
    }
    return present;
  }

  std::optional<std::vector<ResourcePtr>> CollectChanged(Type type) {
    TypeState& s = state(type);
    const std::vector<std::string> names =
        s.is_everything_changed ? s.subscription.Names()
                                : std::vector<std::string>(s.changed.begin(), s.changed.end());
    for (const std::string& name : names) {
      if (!s.subscription.Covers(name)) continue;
      const ResourcePtr found = view().Find(type, name);
      // This form of the protocol has no way to say that a named resource is gone.
      if (found == nullptr) {
        s.subscription.Drop(name, false);
        continue;
      }
      const ResourcePtr held = s.subscription.Held(name);
      if (held != nullptr && held->version == found->version) continue;
      s.subscription.Hold(found);
      changed_.push_back(found);
    }
    if (changed_.empty()) return std::nullopt;
    return changed_;
  }

  bool is_delta() const override { return false; }
  // By the response being built.
  std::vector<ResourcePtr> changed_;
  std::vector<std::string> gone_;
};

}  // namespace

std::unique_ptr<Session> MakeSotwSession(AdsServer& server, grpc::ServerCall& call,
                                         std::optional<Type> only) {
  return std::make_unique<SotwSession>(server, call, only);
}

}  // namespace meltemi::xds
