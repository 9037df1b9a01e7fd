// SPDX-License-Identifier: Apache-2.0
#include "galley/api/discovery.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace meltemi::galley {
namespace {

using config::Kind;
using nlohmann::json;

constexpr std::array kVerbs = {"create", "delete", "deletecollection", "get",
                               "list",   "patch",  "update",           "watch"};

std::vector<std::string> Words(std::string_view comma_separated) {
  std::vector<std::string> words;
  while (!comma_separated.empty()) {
    const size_t end = std::min(comma_separated.find(','), comma_separated.size());
    words.emplace_back(comma_separated.substr(0, end));
    comma_separated.remove_prefix(std::min(end + 1, comma_separated.size()));
  }
  return words;
}

// Kubernetes' order of versions: v2 before v1, then v1beta1, then v1alpha3; as a number that falls.
int RankOf(const std::string& version) {
  const size_t end = version.find_first_not_of("0123456789", 1);
  const int major = std::atoi(version.c_str() + 1);
  if (end == std::string::npos) return 1'000'000 + major;
  const bool is_beta = version.compare(end, 4, "beta") == 0;
  const int minor = std::atoi(version.c_str() + end + (is_beta ? 4 : 5));
  return (is_beta ? 500'000 : 0) + major * 100 + minor;
}

std::vector<std::string> VersionsOf(std::string_view group) {
  std::set<std::string> all;
  for (const Kind* kind : config::AllKinds()) {
    if (kind->group != group) continue;
    all.emplace(kind->version);
    for (std::string& other : Words(kind->other_versions)) all.insert(std::move(other));
  }
  std::vector<std::string> versions(all.begin(), all.end());
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return RankOf(a) > RankOf(b); });
  return versions;
}

std::set<std::string> Groups() {
  std::set<std::string> groups;
  for (const Kind* kind : config::AllKinds()) {
    if (!kind->group.empty()) groups.emplace(kind->group);
  }
  return groups;
}

json GroupOf(const std::string& group) {
  json versions = json::array();
  for (const std::string& version : VersionsOf(group)) {
    versions.push_back({{"groupVersion", group + "/" + version}, {"version", version}});
  }
  return {{"name", group}, {"preferredVersion", versions.front()}, {"versions", versions}};
}

json Typed(json body, const char* kind) {
  body["kind"] = kind;
  body["apiVersion"] = "v1";
  return body;
}

// What `kubectl get all` and `kubectl get istio-io` mean.
json CategoriesOf(const Kind& kind) {
  static constexpr std::array kAll = {"pods",        "services",    "daemonsets",
                                      "deployments", "replicasets", "statefulsets",
                                      "jobs",        "cronjobs",    "horizontalpodautoscalers"};
  const std::string group(kind.group);
  if (group.ends_with(".istio.io")) {
    return {"istio-io", group.substr(0, group.find('.')) + "-istio-io"};
  }
  if (group == "gateway.networking.k8s.io") return {"gateway-api"};
  if (std::find(kAll.begin(), kAll.end(), kind.plural) != kAll.end()) return {"all"};
  return json::array();
}

json ResourcesOf(const Route& route) {
  json resources = json::array();
  for (const Kind* kind : config::AllKinds()) {
    if (kind->group != route.group || !kind->accepts(route.version)) continue;
    json resource = {{"name", kind->plural},
                     {"singularName", kind->singular},
                     {"namespaced", kind->is_namespaced},
                     {"kind", kind->kind},
                     {"verbs", kVerbs}};
    if (!kind->short_names.empty()) resource["shortNames"] = Words(kind->short_names);
    if (json categories = CategoriesOf(*kind); !categories.empty()) {
      resource["categories"] = std::move(categories);
    }
    resources.push_back(std::move(resource));
    resources.push_back({{"name", std::string(kind->plural) + "/status"},
                         {"singularName", ""},
                         {"namespaced", kind->is_namespaced},
                         {"kind", kind->kind},
                         {"verbs", {"get", "patch", "update"}}});
    if (kind == &config::kinds::kServiceAccount) {
      resources.push_back({{"name", "serviceaccounts/token"},
                           {"singularName", ""},
                           {"namespaced", true},
                           {"group", "authentication.k8s.io"},
                           {"version", "v1"},
                           {"kind", "TokenRequest"},
                           {"verbs", {"create"}}});
    }
  }
  return Typed({{"groupVersion", route.api_version()}, {"resources", std::move(resources)}},
               "APIResourceList");
}

json SchemaIndex() {
  json paths = json::object();
  const auto add = [&](const std::string& path) {
    paths[path] = {{"serverRelativeURL", "/openapi/v3/" + path}};
  };
  add("api/v1");
  for (const std::string& group : Groups()) {
    for (const std::string& version : VersionsOf(group)) add("apis/" + group + "/" + version);
  }
  return {{"paths", std::move(paths)}};
}

// kubectl checks fields itself unless a kind's PATCH takes the parameter fieldValidation.
json SchemaOf(const Route& route) {
  json paths = json::object();
  const std::string base =
      route.group.empty() ? "/api/" + route.version : "/apis/" + route.api_version();
  const json parameters = {
      {{"name", "fieldValidation"}, {"in", "query"}, {"schema", {{"type", "string"}}}},
      {{"name", "dryRun"}, {"in", "query"}, {"schema", {{"type", "string"}}}}};
  for (const Kind* kind : config::AllKinds()) {
    if (kind->group != route.group || !kind->accepts(route.version)) continue;
    const std::string path = base + (kind->is_namespaced ? "/namespaces/{namespace}/" : "/") +
                             std::string(kind->plural) + "/{name}";
    paths[path] = {
        {"patch",
         {{"parameters", parameters},
          {"responses", {{"200", {{"description", "OK"}}}}},
          {"x-kubernetes-action", "patch"},
          {"x-kubernetes-group-version-kind",
           {{"group", kind->group}, {"version", route.version}, {"kind", kind->kind}}}}}};
  }
  return {{"openapi", "3.0.0"},
          {"info", {{"title", "Meltemi"}, {"version", MELTEMI_VERSION}}},
          {"paths", std::move(paths)}};
}

json Version() {
  // The Kubernetes release whose API this is shaped after, and ours.
  return {{"major", "1"},
          {"minor", "32"},
          {"gitVersion", "v1.32.0+meltemi." MELTEMI_VERSION},
          {"gitCommit", ""},
          {"gitTreeState", "clean"},
          {"buildDate", "1970-01-01T00:00:00Z"},
          {"goVersion", ""},
          {"compiler", "clang"},
          {"platform", "linux/amd64"}};
}

json GroupIndex() {
  json groups = json::array();
  for (const std::string& group : Groups()) groups.push_back(GroupOf(group));
  return Typed({{"groups", std::move(groups)}}, "APIGroupList");
}

}  // namespace

json Discover(const Route& route) {
  switch (route.target) {
    case Target::kVersion:
      return Version();
    case Target::kCoreIndex:
      return {{"kind", "APIVersions"},
              {"versions", {"v1"}},
              {"serverAddressByClientCIDRs", json::array()}};
    case Target::kGroupIndex:
      return GroupIndex();
    case Target::kGroup:
      return Typed(GroupOf(route.group), "APIGroup");
    case Target::kResources:
      return ResourcesOf(route);
    case Target::kSchemaIndex:
      return SchemaIndex();
    case Target::kSchema:
      return SchemaOf(route);
    default:
      return nullptr;
  }
}

}  // namespace meltemi::galley
