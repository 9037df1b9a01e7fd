// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/endpoint_slices.h"

#include <fmt/format.h>

#include <set>

namespace meltemi::host {
namespace {

constexpr const char* kServiceName = "kubernetes.io/service-name";
constexpr const char* kManagedBy = "endpointslice.kubernetes.io/managed-by";
constexpr const char* kOurName = "meltemi-host";

std::string Text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

bool Selects(const std::map<std::string, std::string>& selector, const Json& pod) {
  const auto labels = MapAt(pod, "metadata/labels");
  for (const auto& [key, value] : selector)
    if (const auto found = labels.find(key); found == labels.end() || found->second != value)
      return false;
  return true;
}

// The number of a Service port on this Pod; 0 = the Pod has no port of that name.
int64_t TargetPort(const Json& service_port, const Json& pod) {
  const Json& target = At(service_port, "targetPort");
  if (target.is_number_integer() && target.get<int64_t>() > 0) return target.get<int64_t>();
  if (!target.is_string() || target.get<std::string>().empty())
    return NumberAt(service_port, "port");
  for (const Json& container : ArrayAt(pod, "spec/containers"))
    for (const Json& port : ArrayAt(container, "ports"))
      if (StringAt(port, "name") == target.get<std::string>() &&
          StringAt(port, "protocol", "TCP") == StringAt(service_port, "protocol", "TCP"))
        return NumberAt(port, "containerPort");
  return 0;
}

Json ResolvedPorts(const Json& service, const Json& pod) {
  Json ports = Json::array();
  for (const Json& port : ArrayAt(service, "spec/ports")) {
    const int64_t number = TargetPort(port, pod);
    if (number == 0) continue;
    Json resolved = {{"name", StringAt(port, "name")},
                     {"port", number},
                     {"protocol", StringAt(port, "protocol", "TCP")}};
    if (const std::string app = StringAt(port, "appProtocol"); !app.empty())
      resolved["appProtocol"] = app;
    ports.push_back(resolved);
  }
  return ports;
}

bool IsReady(const Json& pod) {
  for (const Json& condition : ArrayAt(pod, "status/conditions"))
    if (StringAt(condition, "type") == "Ready") return StringAt(condition, "status") == "True";
  return false;
}

Json Endpoint(const Json& service, const Json& pod) {
  const bool is_ready = IsReady(pod);
  const bool is_terminating = At(pod, "metadata/deletionTimestamp").is_string();
  const bool is_published = BoolAt(service, "spec/publishNotReadyAddresses");
  return {{"addresses", Json::array({StringAt(pod, "status/podIP")})},
          {"conditions",
           {{"ready", (is_ready && !is_terminating) || is_published},
            {"serving", is_ready},
            {"terminating", is_terminating}}},
          {"nodeName", "localhost"},
          {"targetRef", {{"kind", "Pod"}, {"namespace", NamespaceOf(pod)}, {"name", NameOf(pod)}}}};
}

}  // namespace

std::vector<Json> BuildEndpointSlices(const Json& service, const std::vector<const Json*>& pods) {
  const auto selector = MapAt(service, "spec/selector");
  if (selector.empty()) return {};
  std::map<std::string, std::pair<Json, Json>> groups;  // text of the ports → ports, endpoints
  for (const Json* pod : pods) {
    if (NamespaceOf(*pod) != NamespaceOf(service) || !Selects(selector, *pod)) continue;
    if (StringAt(*pod, "status/podIP").empty()) continue;
    const Json ports = ResolvedPorts(service, *pod);
    auto& [group_ports, endpoints] = groups[ports.dump()];
    group_ports = ports;
    if (endpoints.is_null()) endpoints = Json::array();
    endpoints.push_back(Endpoint(service, *pod));
  }
  // A Service without Pods keeps an empty slice: "no endpoints" is known, not merely unsaid.
  if (groups.empty()) groups[""] = {ResolvedPorts(service, Json::object()), Json::array()};
  std::vector<Json> slices;
  for (const auto& [text, group] : groups) {
    const std::string name = fmt::format("{}-{}", NameOf(service), slices.size() + 1);
    slices.push_back({{"apiVersion", "discovery.k8s.io/v1"},
                      {"kind", "EndpointSlice"},
                      {"metadata",
                       {{"name", name},
                        {"namespace", NamespaceOf(service)},
                        {"labels", {{kServiceName, NameOf(service)}, {kManagedBy, kOurName}}}}},
                      {"addressType", "IPv4"},
                      {"ports", group.first},
                      {"endpoints", group.second}});
  }
  return slices;
}

void EndpointSlices::Start() {
  objects_.Watch("Service", [this](const auto& changes) { OnServices(changes); });
  objects_.Watch("EndpointSlice", [this](const auto& changes) { OnSlices(changes); });
}

void EndpointSlices::OnSlices(const std::vector<ObjectChange>& changes) {
  for (const ObjectChange& change : changes) {
    const Json& labels = At(change.object, "metadata/labels");
    if (change.is_deleted || !labels.is_object() ||
        labels.value(kManagedBy, Json()) != Json(kOurName))
      continue;
    const auto service =
        slices_.find(NamespaceOf(change.object) + "/" + Text(labels.value(kServiceName, Json())));
    if (service == slices_.end() || !service->second.contains(NameOf(change.object)))
      objects_.Delete("EndpointSlice", NamespaceOf(change.object), NameOf(change.object));
  }
}

void EndpointSlices::PutPod(const Json& pod) {
  Json& held = pods_[KeyOf(pod)];
  if (held == pod) return;
  held = pod;
  RecomputeNamespace(NamespaceOf(pod));
}

void EndpointSlices::RemovePod(const std::string& key) {
  if (pods_.erase(key) != 0) RecomputeNamespace(key.substr(0, key.find('/')));
}

void EndpointSlices::OnServices(const std::vector<ObjectChange>& changes) {
  std::set<std::string> touched;
  for (const ObjectChange& change : changes) {
    const std::string key = KeyOf(change.object);
    touched.insert(key);
    if (change.is_deleted)
      services_.erase(key);
    else
      services_[key] = change.object;
  }
  for (const std::string& key : touched) Recompute(key);
}

void EndpointSlices::RecomputeNamespace(const std::string& ns) {
  const std::string first = ns + "/";
  for (auto it = services_.lower_bound(first);
       it != services_.end() && it->first.starts_with(first); ++it)
    Recompute(it->first);
}

void EndpointSlices::Recompute(const std::string& service_key) {
  std::map<std::string, Json> wanted;
  const auto service = services_.find(service_key);
  if (service != services_.end()) {
    std::vector<const Json*> pods;
    for (const auto& [key, pod] : pods_) pods.push_back(&pod);
    for (Json& slice : BuildEndpointSlices(service->second, pods))
      wanted.emplace(NameOf(slice), std::move(slice));
  }
  std::map<std::string, Json>& held = slices_[service_key];
  for (const auto& [name, slice] : wanted)
    if (const auto found = held.find(name); found == held.end() || found->second != slice)
      objects_.Put(slice);
  for (const auto& [name, slice] : held)
    if (!wanted.contains(name)) objects_.Delete("EndpointSlice", NamespaceOf(slice), name);
  held = std::move(wanted);
  if (held.empty()) slices_.erase(service_key);
}

}  // namespace meltemi::host
