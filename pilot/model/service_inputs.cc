// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/service_inputs.h"

#include <algorithm>
#include <tuple>

#include "pilot/model/service_entry.h"
#include "pilot/model/service_from_object.h"

namespace meltemi::pilot {
namespace {

constexpr const char* kServiceName = "kubernetes.io/service-name";

Place PlaceOf(const Service& service) {
  return {service.created, service.host, service.ns};
}

std::string AddressOwner(const std::string& ns, const std::string& host) {
  return ns + "/" + host;
}

}  // namespace

bool ServiceInputs::Claim::operator<(const Claim& other) const {
  return std::make_tuple(!is_kubernetes, created, std::cref(origin)) <
         std::make_tuple(!other.is_kubernetes, other.created, std::cref(other.origin));
}

ServiceInputs::ServiceInputs(Graph& graph, Problems& problems, Options options)
    : services(graph, "service inputs"),
      by_host(graph, "service inputs by host"),
      by_namespace(graph, "service inputs by namespace"),
      all(graph, "service inputs together"),
      slices(graph, "slice inputs"),
      entries(graph, "service entry inputs"),
      problems_(problems),
      options_(std::move(options)) {}

void ServiceInputs::Put(const config::ObjectKey& key, const config::ObjectPtr& object) {
  if (key.kind == &config::kinds::kEndpointSlice) return PutSlice(key, object);
  PutServices(key, object);
  if (key.kind == &config::kinds::kServiceEntry) entries.Set(key, object);
}

void ServiceInputs::PutSlice(const config::ObjectKey& key, const config::ObjectPtr& object) {
  const Place place{.created = {}, .first = key.ns, .second = key.name};
  NamespacedName owner;
  if (object != nullptr) {
    const auto label = object->meta.labels.find(kServiceName);
    if (label != object->meta.labels.end()) owner = {key.ns, label->second};
  }
  const auto held = service_of_slice_.find(key);
  if (held != service_of_slice_.end() && held->second != owner) {
    slices.Remove(held->second, place);
    service_of_slice_.erase(held);
  }
  if (owner.second.empty()) return;  // of no Service: nobody asks for it
  slices.Put(owner, place, object);
  service_of_slice_[key] = owner;
}

StatusOr<ServiceList> ServiceInputs::Read(const config::Object& object) {
  if (object.kind == &config::kinds::kServiceEntry) {
    return ServicesFromEntry(object, options_.mesh, [&](const std::string& host) {
      return addresses_.Take(AddressOwner(object.meta.ns, host));
    });
  }
  MELTEMI_ASSIGN_OR_RETURN(ServicePtr service,
                           ServiceFromObject(object, options_.domain, options_.mesh));
  return ServiceList{std::move(service)};
}

void ServiceInputs::PutServices(const config::ObjectKey& key, const config::ObjectPtr& object) {
  ServiceList next;
  Status status;
  if (object != nullptr) {
    StatusOr<ServiceList> read = Read(*object);
    status = read.status();
    if (read.ok()) next = *std::move(read);
  }
  problems_.Set(key, status);
  const ServiceList before = std::exchange(of_object_[key], next);
  if (next.empty()) of_object_.erase(key);
  for (const ServicePtr& service : before) Claims(service, /*is_gone=*/true);
  for (const ServicePtr& service : next) Claims(service, /*is_gone=*/false);
  for (const ServicePtr& service : before) {
    const bool is_kept = std::any_of(next.begin(), next.end(),
                                     [&](const ServicePtr& n) { return n->host == service->host; });
    if (!is_kept) Publish(service->key());
  }
  for (const ServicePtr& service : next) Publish(service->key());
}

void ServiceInputs::Claims(const ServicePtr& service, bool is_gone) {
  const Claim claim{service->is_kubernetes, service->created, service->origin};
  auto& claims = claims_[service->key()];
  if (is_gone) {
    claims.erase(claim);
  } else {
    claims[claim] = service;
  }
}

void ServiceInputs::Publish(const ServiceKey& key) {
  const auto claims = claims_.find(key);
  ServicePtr next;
  if (claims != claims_.end() && !claims->second.empty()) next = claims->second.begin()->second;
  if (claims != claims_.end() && claims->second.empty()) claims_.erase(claims);
  ServicePtr& held = published_[key];
  if (IsSameValue<Service>(held, next)) {
    if (held == nullptr) published_.erase(key);
    return;
  }
  if (held != nullptr && (next == nullptr || PlaceOf(*held) != PlaceOf(*next))) {
    by_host.Remove(key.host, PlaceOf(*held));
    by_namespace.Remove(key.ns, PlaceOf(*held));
    all.Remove(0, PlaceOf(*held));
  }
  held = next;
  services.Set(key, next);
  if (next == nullptr) {
    published_.erase(key);
    addresses_.Release(AddressOwner(key.ns, key.host));
    return;
  }
  by_host.Put(key.host, PlaceOf(*next), next);
  by_namespace.Put(key.ns, PlaceOf(*next), next);
  all.Put(0, PlaceOf(*next), next);
}

void ServiceInputs::Flush() {
  by_host.Flush();
  by_namespace.Flush();
  all.Flush();
  slices.Flush();
}

}  // namespace meltemi::pilot
