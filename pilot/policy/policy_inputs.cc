// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/policy_inputs.h"

#include <google/protobuf/util/message_differencer.h>

#include "pilot/policy/gateways.h"

namespace meltemi::pilot {
namespace {

Place PlaceOf(const config::Object& object) {
  return {object.meta.created, object.meta.ns, object.meta.name};
}

// Nothing but spec, age and names of a policy has an effect.
bool IsSamePolicy(const config::ObjectPtr& a, const config::ObjectPtr& b) {
  if (a == nullptr || b == nullptr) return a == b;
  if (a->meta.created != b->meta.created) return false;
  return google::protobuf::util::MessageDifferencer::Equals(*a->spec, *b->spec);
}

template <typename K>
void Move(Listing<K, config::Object>& listing, const K& key, const config::ObjectPtr& before,
          const config::ObjectPtr& next) {
  if (before != nullptr && (next == nullptr || PlaceOf(*before) != PlaceOf(*next))) {
    listing.Remove(key, PlaceOf(*before));
  }
  if (next != nullptr) listing.Put(key, PlaceOf(*next), next);
}

}  // namespace

PolicyInputs::PolicyInputs(Graph& graph, Problems& problems, Options options)
    : rules(graph, "destination rule inputs"),
      virtual_services(graph, "virtual service inputs"),
      virtual_services_of_gateway(graph, "virtual service inputs by gateway"),
      peer_authentications(graph, "peer authentication inputs"),
      gateways(graph, "gateway inputs"),
      secrets(graph, "secret inputs"),
      problems_(problems),
      options_(std::move(options)) {}

void PolicyInputs::Put(const config::ObjectKey& key, const config::ObjectPtr& object) {
  const auto found = objects_.find(key);
  const config::ObjectPtr before = found == objects_.end() ? nullptr : found->second;
  if (IsSamePolicy(before, object)) return;
  if (object == nullptr) {
    objects_.erase(key);
  } else {
    objects_[key] = object;
  }
  if (key.kind == &config::kinds::kDestinationRule) return PutRule(key, object);
  if (key.kind == &config::kinds::kVirtualService) return PutVirtualService(key, object);
  if (key.kind == &config::kinds::kSecret) return secrets.Set(key, object);
  if (key.kind == &config::kinds::kGateway) {
    problems_.Set(key, object == nullptr ? absl::OkStatus() : JudgeServers(*object));
    return Move(gateways, 0, before, object);
  }
  Move(peer_authentications, key.ns, before, object);
}

void PolicyInputs::PutRule(const config::ObjectKey& key, const config::ObjectPtr& object) {
  if (const auto held = rule_of_.find(key); held != rule_of_.end()) {
    rules.Remove({key.ns, held->second->host}, PlaceOf(*held->second->object));
    rule_of_.erase(held);
  }
  problems_.Set(key, absl::OkStatus());
  if (object == nullptr) return;
  const auto rule = ReadDestinationRule(object, options_.domain, options_.mesh);
  problems_.Set(key, rule.status());
  if (!rule.ok()) return;
  rule_of_[key] = *rule;
  rules.Put({key.ns, (*rule)->host}, PlaceOf(*object), *rule);
}

void PolicyInputs::PutVirtualService(const config::ObjectKey& key,
                                     const config::ObjectPtr& object) {
  const auto place = [&](const VirtualServiceView& view) {
    return Place{view.created, key.ns, key.name};
  };
  if (const auto held = virtual_service_of_.find(key); held != virtual_service_of_.end()) {
    for (const std::string& gateway : held->second->gateways) {
      virtual_services_of_gateway.Remove(gateway, place(*held->second));
    }
    virtual_service_of_.erase(held);
  }
  if (object == nullptr) return virtual_services.Set(key, nullptr);
  const VirtualServicePtr view = ReadVirtualService(*object, options_.domain, options_.mesh);
  virtual_service_of_[key] = view;
  virtual_services.Set(key, view);
  if (view->is_delegate()) return;
  for (const std::string& gateway : view->gateways) {
    virtual_services_of_gateway.Put(gateway, place(*view), view);
  }
}

void PolicyInputs::Flush() {
  rules.Flush();
  virtual_services_of_gateway.Flush();
  peer_authentications.Flush();
  gateways.Flush();
}

}  // namespace meltemi::pilot
