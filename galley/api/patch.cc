// SPDX-License-Identifier: Apache-2.0
#include "galley/api/patch.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "galley/api/errors.h"
#include "galley/api/json_fields.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

struct MergeKey {
  std::string_view field;
  const char* key;
};

// patchMergeKey of Kubernetes' types, by the name of the field. "ports" is the one name with two
// keys: containerPort in a Pod, port in a Service.
constexpr MergeKey kMergeKeys[] = {{"addresses", "type"},
                                   {"conditions", "type"},
                                   {"containers", "name"},
                                   {"env", "name"},
                                   {"ephemeralContainers", "name"},
                                   {"hostAliases", "ip"},
                                   {"imagePullSecrets", "name"},
                                   {"initContainers", "name"},
                                   {"ownerReferences", "uid"},
                                   {"podIPs", "ip"},
                                   {"secrets", "name"},
                                   {"topologySpreadConstraints", "topologyKey"},
                                   {"volumeDevices", "devicePath"},
                                   {"volumeMounts", "mountPath"},
                                   {"volumes", "name"}};

constexpr std::string_view kOrder = "$setElementOrder/";
constexpr std::string_view kDeletePrimitive = "$deleteFromPrimitiveList/";

// Merging is quadratic in the lengths.
constexpr size_t kMergedElementsMax = 10'000;

Status CheckLength(const json& a, const json& b) {
  if (std::max(a.size(), b.size()) <= kMergedElementsMax) return absl::OkStatus();
  return BadRequest("a list that is merged has more than 10000 elements");
}

// nullptr = the list is replaced as a whole.
const char* MergeKeyOf(std::string_view field, const json& list) {
  if (field == "ports") {
    const auto has = [](const char* key) {
      return [key](const json& element) { return element.is_object() && element.contains(key); };
    };
    if (std::any_of(list.begin(), list.end(), has("containerPort"))) return "containerPort";
    if (std::any_of(list.begin(), list.end(), has("port"))) return "port";
    return nullptr;
  }
  for (const MergeKey& one : kMergeKeys) {
    if (one.field == field) return one.key;
  }
  return nullptr;
}

// Lists of scalars that are merged as sets.
bool IsSet(std::string_view field) {
  return field == "finalizers" || field == "podCIDRs";
}

json::iterator FindByKey(json& list, const char* key, const json& value) {
  return std::find_if(list.begin(), list.end(), [&](const json& element) {
    return element.is_object() && element.contains(key) && element[key] == value;
  });
}

Status Merge(json& target, const json& patch);

Status MergeList(json& target, const json& patch, const char* key) {
  if (!target.is_array()) target = json::array();
  const bool replaces = std::any_of(patch.begin(), patch.end(), [](const json& element) {
    return TextAt(element, "$patch") == "replace";
  });
  if (replaces) target = json::array();
  MELTEMI_RETURN_IF_ERROR(CheckLength(target, patch));
  for (const json& element : patch) {
    if (!element.is_object() || !element.contains(key)) {
      if (TextAt(element, "$patch") == "replace") continue;
      return BadRequest(std::string("an element of a merged list lacks its key ") + key);
    }
    const auto at = FindByKey(target, key, element[key]);
    if (TextAt(element, "$patch") == "delete") {
      if (at != target.end()) target.erase(at);
      continue;
    }
    json& into = at == target.end() ? target.emplace_back(json::object()) : *at;
    MELTEMI_RETURN_IF_ERROR(Merge(into, element));
  }
  return absl::OkStatus();
}

Status MergeSet(json& target, const json& patch) {
  if (!target.is_array()) target = json::array();
  MELTEMI_RETURN_IF_ERROR(CheckLength(target, patch));
  for (const json& value : patch) {
    if (std::find(target.begin(), target.end(), value) == target.end()) target.push_back(value);
  }
  return absl::OkStatus();
}

// Elements named in the order come in it; the others keep their places after them.
void SetOrder(json& list, const json& order, const char* key) {
  json sorted = json::array();
  for (const json& wanted : order) {
    const auto at = key != nullptr && wanted.is_object() && wanted.contains(key)
                        ? FindByKey(list, key, wanted[key])
                        : std::find(list.begin(), list.end(), wanted);
    if (at == list.end()) continue;
    sorted.push_back(std::move(*at));
    list.erase(at);
  }
  for (json& rest : list) sorted.push_back(std::move(rest));
  list = std::move(sorted);
}

Status ObeyDirective(json& target, const std::string& name, const json& value) {
  if (name == "$patch") return absl::OkStatus();  // seen by the caller
  if (!value.is_array()) return BadRequest("the patch directive " + name + " needs a list");
  if (name == "$retainKeys") {
    for (auto at = target.begin(); at != target.end();) {
      const bool stays = std::find(value.begin(), value.end(), json(at.key())) != value.end();
      at = stays ? std::next(at) : target.erase(at);
    }
    return absl::OkStatus();
  }
  const std::string field = name.substr(std::min(name.find('/'), name.size() - 1) + 1);
  const auto list = target.find(field);
  if (list == target.end() || !list->is_array()) return absl::OkStatus();
  MELTEMI_RETURN_IF_ERROR(CheckLength(*list, value));
  if (name.starts_with(kOrder)) {
    SetOrder(*list, value, MergeKeyOf(field, *list));
    return absl::OkStatus();
  }
  if (name.starts_with(kDeletePrimitive)) {
    for (const json& gone : value) {
      list->erase(std::remove(list->begin(), list->end(), gone), list->end());
    }
    return absl::OkStatus();
  }
  return BadRequest("unknown patch directive " + name);
}

Status MergeField(json& target, const std::string& name, const json& value) {
  if (value.is_null()) {
    target.erase(name);
    return absl::OkStatus();
  }
  if (value.is_object()) {
    if (!target[name].is_object()) target[name] = json::object();
    return Merge(target[name], value);
  }
  if (value.is_array()) {
    if (const char* key = MergeKeyOf(name, value)) return MergeList(target[name], value, key);
    if (IsSet(name)) return MergeSet(target[name], value);
  }
  target[name] = value;
  return absl::OkStatus();
}

// `patch` is an object.
Status Merge(json& target, const json& patch) {
  if (!target.is_object()) target = json::object();
  const std::string directive = TextAt(patch, "$patch");
  if (directive == "replace") target = json::object();
  if (directive == "delete") {
    target = json::object();
    return absl::OkStatus();
  }
  const auto is_directive = [](const std::string& name) { return name.starts_with('$'); };
  for (const auto& [name, value] : patch.items()) {
    if (!is_directive(name)) MELTEMI_RETURN_IF_ERROR(MergeField(target, name, value));
  }
  // After the fields: an order speaks of elements this patch adds.
  for (const auto& [name, value] : patch.items()) {
    if (is_directive(name)) MELTEMI_RETURN_IF_ERROR(ObeyDirective(target, name, value));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<PatchKind> PatchKindOf(const std::string& content_type) {
  const std::string type = content_type.substr(0, content_type.find(';'));
  if (type == "application/merge-patch+json") return PatchKind::kMerge;
  if (type == "application/strategic-merge-patch+json") return PatchKind::kStrategic;
  if (type == "application/apply-patch+yaml") return PatchKind::kApply;
  return UnsupportedMediaType(
      "the body of a PATCH must be application/merge-patch+json, "
      "application/strategic-merge-patch+json or application/apply-patch+yaml");
}

void MergePatch(json& target, const json& patch) {
  target.merge_patch(patch);
}

Status StrategicMergePatch(json& target, const json& patch) {
  if (!patch.is_object()) return BadRequest("a patch is a JSON object");
  return Merge(target, patch);
}

}  // namespace meltemi::galley
