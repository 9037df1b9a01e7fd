// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/service_entry.h"

#include <nlohmann/json.hpp>

#include "pilot/model/hosts.h"

namespace meltemi::pilot {
namespace {

using istio::networking::v1::ServiceEntry;

constexpr const char* kAutoAddressLabel = "networking.istio.io/enable-autoallocate-ip";

StatusOr<Resolution> ResolutionOf(const ServiceEntry& spec) {
  switch (spec.resolution()) {
    case ServiceEntry::NONE:
      return Resolution::kPassthrough;
    case ServiceEntry::STATIC:
      return Resolution::kClientSide;
    case ServiceEntry::DNS:
      return Resolution::kDns;
    case ServiceEntry::DNS_ROUND_ROBIN:
      return Resolution::kDnsRoundRobin;
    default:
      return absl::UnimplementedError(
          "spec.resolution: DYNAMIC_DNS is not supported yet; use NONE, STATIC, DNS or "
          "DNS_ROUND_ROBIN");
  }
}

std::vector<ServicePort> Ports(const ServiceEntry& spec) {
  std::vector<ServicePort> ports;
  for (const auto& from : spec.ports()) {
    ports.push_back({.name = from.name(),
                     .number = from.number(),
                     .protocol = ParseProtocol(from.protocol()),
                     .target_number = from.target_port() ? from.target_port() : from.number(),
                     .target_name = {}});
  }
  return ports;
}

bool WantsAutoAddress(const config::Object& object, const ServiceEntry& spec) {
  if (!spec.addresses().empty() || spec.resolution() == ServiceEntry::NONE) return false;
  const auto label = object.meta.labels.find(kAutoAddressLabel);
  return label == object.meta.labels.end() || label->second != "false";
}

// What Istio's own controller has allocated stands in the status and is kept.
std::string AddressInStatus(const config::Object& object, const std::string& host) {
  if (object.document == nullptr || !object.document->is_object()) return {};
  const auto status = object.document->find("status");
  if (status == object.document->end() || !status->is_object()) return {};
  const auto addresses = status->find("addresses");
  if (addresses == status->end() || !addresses->is_array()) return {};
  for (const auto& address : *addresses) {
    if (!address.is_object()) continue;
    const auto value = address.find("value"), of = address.find("host");
    if (value == address.end() || !value->is_string()) continue;
    if (value->get_ref<const std::string&>().find(':') != std::string::npos) continue;  // IPv6
    if (of == address.end() || (of->is_string() && of->get_ref<const std::string&>() == host)) {
      return value->get<std::string>();
    }
  }
  return {};
}

}  // namespace

StatusOr<ServiceList> ServicesFromEntry(
    const config::Object& object, const istio::mesh::v1alpha1::MeshConfig& mesh,
    const std::function<std::string(const std::string& host)>& take_address) {
  const auto& spec = object.Spec<ServiceEntry>();
  if (spec.hosts().empty()) {
    return absl::InvalidArgumentError("spec.hosts: a ServiceEntry needs at least one host");
  }
  Service common;
  MELTEMI_ASSIGN_OR_RETURN(common.resolution, ResolutionOf(spec));
  common.ns = object.meta.ns;
  common.addresses = {spec.addresses().begin(), spec.addresses().end()};
  common.ports = Ports(spec);
  common.labels = object.meta.labels;
  common.selector = {spec.workload_selector().labels().begin(),
                     spec.workload_selector().labels().end()};
  const auto& export_to =
      spec.export_to().empty() ? mesh.default_service_export_to() : spec.export_to();
  common.export_to = {export_to.begin(), export_to.end()};
  common.subject_alt_names = {spec.subject_alt_names().begin(), spec.subject_alt_names().end()};
  common.is_external = spec.location() == ServiceEntry::MESH_EXTERNAL;
  common.is_kubernetes = false;
  common.created = object.meta.created;
  common.origin = object.key();
  ServiceList services;
  for (const std::string& host : spec.hosts()) {
    auto service = std::make_shared<Service>(common);
    service->host = service->name = host;
    if (WantsAutoAddress(object, spec) && !IsWildcardHost(host)) {
      service->auto_address = AddressInStatus(object, host);
      if (service->auto_address.empty()) service->auto_address = take_address(host);
    }
    services.push_back(std::move(service));
  }
  return services;
}

WorkloadList InlineWorkloads(const config::Object& object, const std::string& host) {
  const auto& spec = object.Spec<ServiceEntry>();
  WorkloadList workloads;
  int index = 0;
  for (const auto& endpoint : spec.endpoints()) {
    const std::string name = object.meta.name + "-" + std::to_string(index++);
    workloads.push_back(std::make_shared<const Workload>(ToWorkload(endpoint, object.key(), name)));
  }
  const bool is_dns =
      spec.resolution() == ServiceEntry::DNS || spec.resolution() == ServiceEntry::DNS_ROUND_ROBIN;
  if (workloads.empty() && is_dns && !spec.has_workload_selector()) {
    istio::networking::v1::WorkloadEntry self;
    self.set_address(host);
    workloads.push_back(
        std::make_shared<const Workload>(ToWorkload(self, object.key(), object.meta.name)));
  }
  return workloads;
}

}  // namespace meltemi::pilot
