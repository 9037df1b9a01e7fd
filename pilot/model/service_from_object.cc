// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/service_from_object.h"

#include <string_view>
#include <utility>

#include "api/core/v1/core.pb.h"

namespace meltemi::pilot {
namespace {

namespace core = meltemi::api::core::v1;

constexpr std::string_view kExportTo = "networking.istio.io/exportTo";
constexpr const char* kNoAddress = "None";
constexpr int32_t kPortMax = 65535;

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) items.emplace_back(item);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return items;
}

std::vector<std::string> ExportTo(const config::Object& object,
                                  const istio::mesh::v1alpha1::MeshConfig& mesh) {
  const auto found = object.meta.annotations.find(std::string(kExportTo));
  if (found != object.meta.annotations.end()) return SplitList(found->second);
  const auto& fallback = mesh.default_service_export_to();
  return {fallback.begin(), fallback.end()};
}

ServicePort ToPort(const core::ServicePort& from) {
  ServicePort port;
  port.name = from.name();
  port.number = static_cast<uint32_t>(from.port());
  port.protocol =
      ProtocolOf(from.app_protocol(), from.name(), port.number, from.protocol() == "UDP");
  port.target_number = port.number;
  const core::IntOrString& target = from.target_port();
  if (target.has_int_value() && target.int_value() > 0 && target.int_value() <= kPortMax) {
    port.target_number = static_cast<uint32_t>(target.int_value());
  } else if (target.has_string_value() && !target.string_value().empty()) {
    port.target_number = 0;
    port.target_name = target.string_value();
  }
  return port;
}

void SetAddresses(const core::ServiceSpec& spec, Service& service) {
  std::vector<std::string> addresses(spec.cluster_ips().begin(), spec.cluster_ips().end());
  if (addresses.empty() && !spec.cluster_ip().empty()) addresses.push_back(spec.cluster_ip());
  for (std::string& address : addresses) {
    if (address == kNoAddress) {
      service.is_headless = true;
    } else if (!address.empty()) {
      service.addresses.push_back(std::move(address));
    }
  }
  // A client of a headless Service has resolved a Pod's address and wants that Pod.
  if (service.is_headless) service.resolution = Resolution::kPassthrough;
}

}  // namespace

StatusOr<ServicePtr> ServiceFromObject(const config::Object& object, const std::string& domain,
                                       const istio::mesh::v1alpha1::MeshConfig& mesh) {
  const auto& spec = object.Spec<core::Service>().spec();
  if (spec.type() == "ExternalName") {
    return absl::UnimplementedError(
        "spec.type: an ExternalName Service is not routed yet: clients reach " +
        spec.external_name() + " as traffic unknown to the mesh; describe it by a ServiceEntry");
  }
  auto service = std::make_shared<Service>();
  service->host = object.meta.name + "." + object.meta.ns + ".svc." + domain;
  service->name = object.meta.name;
  service->ns = object.meta.ns;
  SetAddresses(spec, *service);
  for (const core::ServicePort& port : spec.ports()) {
    if (port.port() <= 0 || port.port() > kPortMax) {
      return absl::InvalidArgumentError("spec.ports: " + std::to_string(port.port()) +
                                        " is not a port; expected 1 to 65535");
    }
    service->ports.push_back(ToPort(port));
  }
  service->labels = object.meta.labels;
  service->selector = {spec.selector().begin(), spec.selector().end()};
  service->export_to = ExportTo(object, mesh);
  service->created = object.meta.created;
  service->origin = object.key();
  return service;
}

}  // namespace meltemi::pilot
