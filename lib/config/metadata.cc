// SPDX-License-Identifier: Apache-2.0
#include "lib/config/metadata.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <optional>
#include <vector>

#include "lib/config/decode.h"
#include "lib/config/names.h"
#include "lib/config/parse.h"

namespace meltemi::config {
namespace {

using Json = nlohmann::json;

constexpr size_t kAnnotationBytesMax = 256 * 1024;  // Kubernetes' limit of all annotations

// Kubernetes' ObjectMeta.
constexpr std::array<std::string_view, 16> kFields = {"annotations",
                                                      "clusterName",
                                                      "creationTimestamp",
                                                      "deletionGracePeriodSeconds",
                                                      "deletionTimestamp",
                                                      "finalizers",
                                                      "generateName",
                                                      "generation",
                                                      "labels",
                                                      "managedFields",
                                                      "name",
                                                      "namespace",
                                                      "ownerReferences",
                                                      "resourceVersion",
                                                      "selfLink",
                                                      "uid"};

// "2026-11-28T08:00:00Z", with or without a fraction or an offset.
std::optional<WallTime> ParseTime(const std::string& text) {
  std::tm parts{};
  int end = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &end) != 6) {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  size_t at = static_cast<size_t>(end);
  if (at < text.size() && text[at] == '.') {
    at = std::min(text.find_first_not_of("0123456789", at + 1), text.size());
  }
  int hours = 0, minutes = 0;
  char sign = '+', rest = 0;
  if (text.substr(at) != "Z" &&
      std::sscanf(text.c_str() + at, "%c%2d:%2d%c", &sign, &hours, &minutes, &rest) != 3) {
    return std::nullopt;
  }
  const int offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
  return std::chrono::system_clock::from_time_t(timegm(&parts) - offset);
}

class Reader final {
 public:
  Reader(const Json& value, const Node* node, const FieldPath& path, const Kind& kind,
         Problems& problems)
      : value_(value), node_(node), path_(path), kind_(kind), problems_(problems) {}

  Metadata Read(const std::string& default_namespace);

 private:
  const Json* Find(std::string_view name) const {
    const auto found = value_.find(name);
    return found == value_.end() || found->is_null() ? nullptr : &*found;
  }
  Position At(std::string_view name) const {
    const Node* node = ChildNode(value_, node_, name);
    if (node == nullptr) node = node_;  // what is missing is missing in the whole
    return node != nullptr ? node->at : Position();
  }
  void Add(std::string_view field, std::string_view what) {
    problems_.Add(At(field), path_.Field(field), what);
  }
  void Expected(std::string_view field, const Json& value, std::string_view expected) {
    Add(field, "got " + std::string(TypeName(value)) + "; expected " + std::string(expected));
  }
  std::string Text(std::string_view field);
  WallTime Time(std::string_view field);
  void CheckFields();
  void CheckNames(Metadata& meta, const std::string& default_namespace);
  std::map<std::string, std::string> Texts(std::string_view field, bool is_label);
  std::vector<OwnerReference> Owners();

  const Json& value_;
  const Node* node_;
  const FieldPath& path_;
  const Kind& kind_;
  Problems& problems_;
};

std::string Reader::Text(std::string_view field) {
  const Json* value = Find(field);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  Expected(field, *value, "a string; put the value in quotes");
  return {};
}

WallTime Reader::Time(std::string_view field) {
  const std::string text = Text(field);
  if (text.empty()) return {};
  const std::optional<WallTime> time = ParseTime(text);
  if (!time) Add(field, Quoted(text) + " is no time; expected one such as 2026-11-28T08:00:00Z");
  return time.value_or(WallTime());
}

void Reader::CheckFields() {
  size_t i = 0;
  for (const auto& [name, member] : value_.get_ref<const Json::object_t&>()) {
    const Node* node = node_ != nullptr ? &node_->children[i++] : nullptr;
    if (std::binary_search(kFields.begin(), kFields.end(), name)) continue;
    const std::string_view near = Nearest(name, {kFields.begin(), kFields.end()});
    problems_.Add(node != nullptr ? node->key : Position(), path_.Field(name),
                  near.empty() ? "unknown field; expected a field of an object's metadata"
                               : "unknown field; did you mean " + std::string(near) + "?");
  }
}

void Reader::CheckNames(Metadata& meta, const std::string& default_namespace) {
  const bool has_text = Find("name") == nullptr || Find("name")->is_string();
  if (meta.name.empty()) {
    if (has_text) Add("name", "missing; every object needs a name");
  } else if (const std::string_view expected = CheckName(kind_, meta.name); !expected.empty()) {
    Add("name", Quoted(meta.name) + " is no name; expected " + std::string(expected));
  }
  if (!kind_.is_namespaced) {
    meta.ns.clear();  // as Kubernetes does
  } else if (meta.ns.empty()) {
    meta.ns = default_namespace;
  } else if (!IsDnsLabel(meta.ns)) {
    Add("namespace", Quoted(meta.ns) +
                         " is no namespace; expected at most 63 of a-z, 0-9 and -, not beginning "
                         "or ending with -");
  }
}

std::map<std::string, std::string> Reader::Texts(std::string_view field, bool is_label) {
  std::map<std::string, std::string> texts;
  const Json* value = Find(field);
  if (value == nullptr) return texts;
  if (!value->is_object()) {
    Expected(field, *value, "a mapping of strings");
    return texts;
  }
  const Node* node = ChildNode(value_, node_, field);
  const FieldPath path = path_.Field(field);
  size_t i = 0, bytes = 0;
  for (const auto& [key, member] : value->get_ref<const Json::object_t&>()) {
    const Node* child = node != nullptr ? &node->children[i++] : nullptr;
    const auto add = [&](bool at_key, const std::string& what) {
      const Position at = child == nullptr ? Position() : at_key ? child->key : child->at;
      problems_.Add(at, path.Key(key), what);
    };
    if (const std::string_view expected = CheckLabelKey(key); !expected.empty()) {
      add(true, "no such key is allowed; expected " + std::string(expected));
    }
    if (!member.is_string()) {
      add(false,
          "got " + std::string(TypeName(member)) + "; expected a string; put the value in quotes");
      continue;
    }
    const std::string& text = member.get_ref<const std::string&>();
    bytes += key.size() + text.size();
    if (const std::string_view expected = is_label ? CheckLabelValue(text) : "";
        !expected.empty()) {
      add(false, Quoted(text) + " is no label's value; expected " + std::string(expected));
    }
    texts.emplace_hint(texts.end(), key, text);
  }
  if (!is_label && bytes > kAnnotationBytesMax) {
    Add(field,
        std::to_string(bytes) + " bytes; expected at most " + std::to_string(kAnnotationBytesMax));
  }
  return texts;
}

std::vector<OwnerReference> Reader::Owners() {
  std::vector<OwnerReference> owners;
  const Json* value = Find("ownerReferences");
  if (value == nullptr) return owners;
  if (!value->is_array()) {
    Expected("ownerReferences", *value, "a list");
    return owners;
  }
  for (const Json& item : *value) {
    OwnerReference owner;
    for (auto [name, text] : {std::pair("kind", &owner.kind), std::pair("name", &owner.name),
                              std::pair("uid", &owner.uid)}) {
      const auto found = item.is_object() ? item.find(name) : item.end();
      if (found == item.end() || !found->is_string()) {
        Add("ownerReferences", "an owner without " + std::string(name) +
                                   "; expected kind, name and uid, each a string");
        return owners;
      }
      *text = found->get<std::string>();
    }
    owners.push_back(std::move(owner));
  }
  return owners;
}

Metadata Reader::Read(const std::string& default_namespace) {
  Metadata meta;
  CheckFields();
  meta.name = Text("name");
  meta.ns = Text("namespace");
  meta.uid = Text("uid");
  meta.resource_version = Text("resourceVersion");
  if (const Json* generation = Find("generation"); generation != nullptr) {
    if (generation->is_number_integer()) {
      meta.generation = generation->get<int64_t>();
    } else {
      Expected("generation", *generation, "a whole number");
    }
  }
  meta.created = Time("creationTimestamp");
  meta.is_deleting = Find("deletionTimestamp") != nullptr;
  meta.labels = Texts("labels", true);
  meta.annotations = Texts("annotations", false);
  meta.owners = Owners();
  CheckNames(meta, default_namespace);
  return meta;
}

void SetOrErase(Json& object, const char* name, Json value, bool is_set) {
  if (is_set) {
    object[name] = std::move(value);
  } else {
    object.erase(name);
  }
}

bool SameOwners(const Json& list, const std::vector<OwnerReference>& owners) {
  if (!list.is_array() || list.size() != owners.size()) return false;
  for (size_t i = 0; i < owners.size(); ++i) {
    if (!list[i].is_object() || list[i].value("uid", Json()) != owners[i].uid ||
        list[i].value("name", Json()) != owners[i].name ||
        list[i].value("kind", Json()) != owners[i].kind) {
      return false;
    }
  }
  return true;
}

// Keeps the document's list when it names the same owners: it may say more of them.
void WriteOwners(const std::vector<OwnerReference>& owners, Json& metadata) {
  if (const auto found = metadata.find("ownerReferences");
      found != metadata.end() && SameOwners(*found, owners)) {
    return;
  }
  Json list = Json::array();
  for (const OwnerReference& owner : owners) {
    const Kind* kind = FindKindByWord(owner.kind);
    list.push_back({{"apiVersion", kind != nullptr ? kind->api_version() : "v1"},
                    {"kind", owner.kind},
                    {"name", owner.name},
                    {"uid", owner.uid}});
  }
  SetOrErase(metadata, "ownerReferences", std::move(list), !owners.empty());
}

}  // namespace

Metadata ReadMetadata(const Json& document, const Node* node, const FieldPath& path,
                      const Kind& kind, const std::string& default_namespace, Problems& problems) {
  const FieldPath at = path.Field("metadata");
  const auto found = document.find("metadata");
  if (found == document.end() || !found->is_object()) {
    problems.Add(node != nullptr ? node->at : Position(), at,
                 "missing; expected a mapping with the object's name");
    return {};
  }
  return Reader(*found, ChildNode(document, node, "metadata"), at, kind, problems)
      .Read(default_namespace);
}

void WriteMetadata(const Metadata& meta, Json& document) {
  Json& metadata = document["metadata"];
  if (!metadata.is_object()) metadata = Json::object();
  metadata["name"] = meta.name;
  SetOrErase(metadata, "namespace", meta.ns, !meta.ns.empty());
  SetOrErase(metadata, "uid", meta.uid, !meta.uid.empty());
  SetOrErase(metadata, "resourceVersion", meta.resource_version, !meta.resource_version.empty());
  SetOrErase(metadata, "generation", meta.generation, meta.generation != 0);
  SetOrErase(metadata, "creationTimestamp", TimeText(meta.created), meta.created != WallTime());
  SetOrErase(metadata, "labels", meta.labels, !meta.labels.empty());
  SetOrErase(metadata, "annotations", meta.annotations, !meta.annotations.empty());
  WriteOwners(meta.owners, metadata);
  // Metadata only knows that deletion began: a time that is there stays, otherwise creation stands
  // in for it.
  const bool has_time = metadata.contains("deletionTimestamp");
  if (!meta.is_deleting || !has_time) {
    SetOrErase(metadata, "deletionTimestamp", TimeText(meta.created), meta.is_deleting);
  }
}

std::string TimeText(WallTime time) {
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace meltemi::config
