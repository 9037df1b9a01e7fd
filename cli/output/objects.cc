// SPDX-License-Identifier: Apache-2.0
#include "cli/output/objects.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "cli/output/mesh.h"
#include "cli/output/table.h"
#include "host/controllers/json.h"

namespace meltemi::cli {
namespace {

using host::ArrayAt;
using host::At;
using host::StringAt;
using nlohmann::json;

constexpr const char* kNone = "-";

struct Column {
  std::string_view kind;
  const char* head;
  std::string (*cell)(const json& object);
};

std::string Scalar(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() || value.is_boolean() ? value.dump() : "";
}

std::string OrNone(std::string text) {
  return text.empty() ? kNone : text;
}

std::string Joined(const json& array, std::string_view field = "") {
  std::string text;
  for (const json& item : array.is_array() ? array : json::array()) {
    const std::string part = Scalar(field.empty() ? item : At(item, field));
    if (!part.empty()) text += (text.empty() ? "" : ",") + part;
  }
  return OrNone(text);
}

std::string Pairs(const json& map, std::string_view between) {
  std::string text;
  if (!map.is_object()) return kNone;
  for (const auto& [key, value] : map.items())
    text += fmt::format("{}{}{}{}", text.empty() ? "" : ",", key, between, Scalar(value));
  return OrNone(text);
}

std::string Ports(const json& service) {
  std::string text;
  for (const json& port : ArrayAt(service, "spec/ports"))
    text += fmt::format("{}{}/{}", text.empty() ? "" : ",", Scalar(At(port, "port")),
                        OrNone(StringAt(port, "name")));
  return OrNone(text);
}

std::string Servers(const json& gateway) {
  std::string text;
  for (const json& server : ArrayAt(gateway, "spec/servers"))
    text += fmt::format("{}{}/{}", text.empty() ? "" : ",", Scalar(At(server, "port/number")),
                        StringAt(server, "port/protocol"));
  return OrNone(text);
}

std::string ReadyOfPod(const json& pod) {
  for (const json& condition : ArrayAt(pod, "status/conditions"))
    if (StringAt(condition, "type") == "Ready")
      return StringAt(condition, "status") == "True" ? "yes" : "no";
  return "no";
}

std::string Endpoints(const json& slice) {
  std::string text;
  for (const json& endpoint : ArrayAt(slice, "endpoints")) {
    const std::string address = Joined(At(endpoint, "addresses"));
    text += (text.empty() ? "" : ",") + address;
    if (!host::BoolAt(endpoint, "conditions/ready", true)) text += "(not ready)";
  }
  return OrNone(text);
}

// In the order in which they are shown.
constexpr Column kColumns[] = {
    {"Service", "TYPE", [](const json& o) { return StringAt(o, "spec/type", "ClusterIP"); }},
    {"Service", "CLUSTER-IP", [](const json& o) { return OrNone(StringAt(o, "spec/clusterIP")); }},
    {"Service", "PORTS", Ports},
    {"Deployment", "REPLICAS",
     [](const json& o) {
       const json& replicas = At(o, "spec/replicas");
       return replicas.is_number() ? replicas.dump() : std::string("1");
     }},
    {"Deployment", "IMAGES",
     [](const json& o) { return Joined(At(o, "spec/template/spec/containers"), "image"); }},
    {"Pod", "READY", ReadyOfPod},
    {"Pod", "PHASE", [](const json& o) { return OrNone(StringAt(o, "status/phase")); }},
    {"Pod", "IP", [](const json& o) { return OrNone(StringAt(o, "status/podIP")); }},
    {"EndpointSlice", "PORTS", [](const json& o) { return Joined(At(o, "ports"), "port"); }},
    {"EndpointSlice", "ENDPOINTS", Endpoints},
    {"VirtualService", "GATEWAYS", [](const json& o) { return Joined(At(o, "spec/gateways")); }},
    {"VirtualService", "HOSTS", [](const json& o) { return Joined(At(o, "spec/hosts")); }},
    {"DestinationRule", "HOST", [](const json& o) { return OrNone(StringAt(o, "spec/host")); }},
    {"DestinationRule", "SUBSETS",
     [](const json& o) { return Joined(At(o, "spec/subsets"), "name"); }},
    {"Gateway", "SERVERS", Servers},
    {"ServiceEntry", "HOSTS", [](const json& o) { return Joined(At(o, "spec/hosts")); }},
    {"ServiceEntry", "LOCATION",
     [](const json& o) { return OrNone(StringAt(o, "spec/location")); }},
    {"ServiceEntry", "RESOLUTION",
     [](const json& o) { return OrNone(StringAt(o, "spec/resolution")); }},
    {"PeerAuthentication", "MODE",
     [](const json& o) { return OrNone(StringAt(o, "spec/mtls/mode")); }},
    {"AuthorizationPolicy", "ACTION",
     [](const json& o) { return StringAt(o, "spec/action", "ALLOW"); }},
    {"Secret", "TYPE", [](const json& o) { return OrNone(StringAt(o, "type")); }},
};

}  // namespace

std::string ObjectTable(const config::Kind& kind, const std::vector<json>& objects,
                        const ObjectTableOptions& options) {
  if (objects.empty()) return "";
  std::vector<std::string> heads;
  if (options.has_namespaces) heads.emplace_back("NAMESPACE");
  heads.emplace_back("NAME");
  for (const Column& column : kColumns)
    if (column.kind == kind.kind) heads.emplace_back(column.head);
  heads.emplace_back("AGE");
  if (options.is_wide) heads.emplace_back("LABELS");
  Table table(heads);
  for (const json& object : objects) {
    std::vector<std::string> row;
    if (options.has_namespaces) row.push_back(OrNone(StringAt(object, "metadata/namespace")));
    row.push_back(StringAt(object, "metadata/name"));
    for (const Column& column : kColumns)
      if (column.kind == kind.kind) row.push_back(column.cell(object));
    row.push_back(AgeOf(StringAt(object, "metadata/creationTimestamp"), options.now));
    if (options.is_wide) row.push_back(Pairs(At(object, "metadata/labels"), "="));
    table.Add(std::move(row));
  }
  return table.Text();
}

}  // namespace meltemi::cli
