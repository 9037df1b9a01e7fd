// SPDX-License-Identifier: Apache-2.0
#include "galley/api/routes.h"

#include <span>
#include <vector>

namespace meltemi::galley {
namespace {

using Segments = std::span<const std::string>;

constexpr size_t kPathBytesMax = 2048;

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) segments.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return segments;
}

Status NoSuchPath() {
  return absl::NotFoundError("the server could not find the requested resource");
}

bool IsServed(const std::string& group, const std::string& version) {
  for (const config::Kind* kind : config::AllKinds()) {
    if (kind->group == group && kind->accepts(version)) return true;
  }
  return false;
}

// `rest` begins with the plural.
StatusOr<Route> ParseObject(Route route, Segments rest) {
  if (rest.empty() || rest.size() > 3) return NoSuchPath();
  route.kind = config::FindKindByPlural(route.group, rest[0]);
  if (route.kind == nullptr || !route.kind->accepts(route.version)) return NoSuchPath();
  if (!route.kind->is_namespaced && !route.ns.empty()) return NoSuchPath();
  route.target = Target::kCollection;
  if (rest.size() == 1) return route;
  if (route.kind->is_namespaced && route.ns.empty()) return NoSuchPath();
  route.name = rest[1];
  route.target = Target::kItem;
  if (rest.size() == 2) return route;
  if (rest[2] == "status") {
    route.target = Target::kItemStatus;
    return route;
  }
  if (rest[2] == "token" && route.kind == &config::kinds::kServiceAccount) {
    route.target = Target::kToken;
    return route;
  }
  return NoSuchPath();
}

// `rest` follows the version.
StatusOr<Route> ParseVersion(Route route, Segments rest) {
  if (route.group == "meltemi.io" && route.version == "v1" && rest.size() == 1) {
    if (rest[0] == "apply") return Route{.target = Target::kBatchApply};
    if (rest[0] == "delete") return Route{.target = Target::kBatchDelete};
  }
  if (!IsServed(route.group, route.version)) return NoSuchPath();
  route.target = Target::kResources;
  if (rest.empty()) return route;
  // A namespace is both an object and the place of others.
  const bool is_place = rest[0] == "namespaces" && rest.size() >= 3 && rest[2] != "status";
  if (!is_place) return ParseObject(std::move(route), rest);
  route.ns = rest[1];
  return ParseObject(std::move(route), rest.subspan(2));
}

StatusOr<Route> ParseApi(Segments segments) {
  Route route{.target = Target::kCoreIndex};
  if (segments[0] == "api") {
    if (segments.size() == 1) return route;
    route.version = segments[1];
    return ParseVersion(std::move(route), segments.subspan(2));
  }
  if (segments[0] != "apis") return NoSuchPath();
  route.target = Target::kGroupIndex;
  if (segments.size() == 1) return route;
  route.group = segments[1];
  route.target = Target::kGroup;
  if (segments.size() == 2 && !route.group.empty() && config::IsKnownGroup(route.group)) {
    return route;
  }
  if (segments.size() == 2) return NoSuchPath();
  route.version = segments[2];
  return ParseVersion(std::move(route), segments.subspan(3));
}

StatusOr<Route> ParseSchema(Segments segments) {
  if (segments.empty()) return Route{.target = Target::kSchemaIndex};
  MELTEMI_ASSIGN_OR_RETURN(Route route, ParseApi(segments));
  if (route.target != Target::kResources) return NoSuchPath();
  route.target = Target::kSchema;
  return route;
}

}  // namespace

std::string Route::api_version() const {
  return group.empty() ? version : group + "/" + version;
}

StatusOr<Route> ParseRoute(std::string_view path) {
  if (path.size() > kPathBytesMax) return NoSuchPath();
  const std::vector<std::string> segments = Split(path);
  if (segments.empty()) return NoSuchPath();
  const std::string& first = segments[0];
  if (first == "healthz" || first == "livez" || first == "readyz") {
    return Route{.target = Target::kHealth};
  }
  if (first == "version" && segments.size() == 1) return Route{.target = Target::kVersion};
  if (first == "openapi" && segments.size() >= 2 && segments[1] == "v3") {
    return ParseSchema(Segments(segments).subspan(2));
  }
  return ParseApi(segments);
}

}  // namespace meltemi::galley
