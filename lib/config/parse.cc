// SPDX-License-Identifier: Apache-2.0
#include "lib/config/parse.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "lib/config/decode.h"
#include "lib/config/metadata.h"
#include "lib/config/problems.h"
#include "lib/config/validate.h"
#include "lib/config/yaml.h"

namespace meltemi::config {
namespace {

using Json = nlohmann::json;

// apiVersion and kind of a List, for items that leave theirs out.
struct ItemType {
  std::string api_version, kind;
};

class ObjectReader final {
 public:
  ObjectReader(const std::string& default_namespace, Source source, Problems& problems)
      : default_namespace_(default_namespace), source_(std::move(source)), problems_(problems) {}

  // Adds the document's objects; `document` is moved from.
  void Read(Json& document, const Node* node, const FieldPath& path, bool check_bytes,
            const ItemType& type);

  std::vector<ObjectPtr> objects;

 private:
  void ReadItems(Json& list, const Node* node, const FieldPath& path, bool check_bytes,
                 const ItemType& type);
  void ReadObject(Json& document, const Node* node, const FieldPath& path, const Kind& kind);
  void CheckRoot(const Json& document, const Node* node, const FieldPath& path);
  std::shared_ptr<const google::protobuf::Message> Decode(const Json& document, const Node* node,
                                                          const FieldPath& path, const Kind& kind);
  const Kind* LookUp(const Json& document, const Node* node, const FieldPath& path,
                     const ItemType& type);

  const std::string& default_namespace_;
  const Source source_;
  Problems& problems_;
};

Position AtOf(const Node* node) {
  return node != nullptr ? node->at : Position();
}

std::string TextMember(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What to say of a kind that is not in the catalogue.
std::string UnknownKind(const std::string& api_version, const std::string& kind) {
  const std::string_view group = GroupOf(api_version);
  std::vector<std::string_view> names;
  std::string versions, groups;
  for (const Kind* known : AllKinds()) {
    names.push_back(known->kind);
    if (known->kind != kind) continue;
    std::string& list = known->group == group ? versions : groups;
    list += (list.empty() ? "" : " or ") + known->api_version();
  }
  std::string what = "unknown kind " + Quoted(kind) + " of " + Quoted(api_version);
  if (!versions.empty()) return what + "; expected apiVersion " + versions;
  if (!groups.empty()) return what + "; expected apiVersion " + groups;
  const std::string_view near = Nearest(kind, names);
  if (!near.empty()) return what + "; did you mean " + std::string(near) + "?";
  return what + "; expected a kind of Istio, the Gateway API or Kubernetes that a mesh reads";
}

const Kind* ObjectReader::LookUp(const Json& document, const Node* node, const FieldPath& path,
                                 const ItemType& type) {
  const auto text = [&](const char* name, const std::string& otherwise) -> std::string {
    const auto found = document.find(name);
    if (found == document.end() || found->is_null()) {
      if (otherwise.empty()) {
        problems_.Add(AtOf(node), path.Field(name),
                      std::string("missing; expected apiVersion and kind, such as v1 and Service"));
      }
      return otherwise;
    }
    if (found->is_string() && !found->get_ref<const std::string&>().empty()) {
      return found->get<std::string>();
    }
    problems_.Add(AtOf(ChildNode(document, node, name)), path.Field(name),
                  "got " + std::string(TypeName(*found)) + "; expected a name");
    return {};
  };
  const std::string api_version = text("apiVersion", type.api_version);
  if (api_version.empty()) return nullptr;
  const std::string kind = text("kind", type.kind);
  if (kind.empty()) return nullptr;
  const Kind* found = FindKind(api_version, kind);
  if (found == nullptr) {
    const Node* at = ChildNode(document, node, "kind");
    problems_.Add(AtOf(at != nullptr ? at : node), path.Field("kind"),
                  UnknownKind(api_version, kind));
  }
  return found;
}

void ObjectReader::Read(Json& document, const Node* node, const FieldPath& path, bool check_bytes,
                        const ItemType& type) {
  if (document.is_null() || problems_.is_full()) return;
  if (!document.is_object()) {
    problems_.Add(AtOf(node), path,
                  "got " + std::string(TypeName(document)) +
                      "; expected an object with apiVersion, kind and metadata");
    return;
  }
  const std::string kind_name = TextMember(document, "kind");
  const auto items = document.find("items");
  if (kind_name.ends_with("List") && (items != document.end() || kind_name == "List")) {
    ItemType of_items;
    if (kind_name != "List") {
      of_items = {TextMember(document, "apiVersion"), kind_name.substr(0, kind_name.size() - 4)};
    }
    return ReadItems(document, node, path, check_bytes, of_items);
  }
  const Kind* kind = LookUp(document, node, path, type);
  if (kind == nullptr) return;
  if (check_bytes) {
    const size_t bytes = document.dump(-1, ' ', false, Json::error_handler_t::replace).size();
    if (bytes > kObjectBytesMax) {
      problems_.Add(AtOf(node), path,
                    "an object of " + std::to_string(bytes) + " bytes; expected at most " +
                        std::to_string(kObjectBytesMax));
      return;
    }
  }
  ReadObject(document, node, path, *kind);
}

void ObjectReader::ReadItems(Json& list, const Node* node, const FieldPath& path, bool check_bytes,
                             const ItemType& type) {
  const auto items = list.find("items");
  if (items == list.end() || items->is_null()) return;
  const Node* items_node = ChildNode(list, node, "items");
  const FieldPath items_path = path.Field("items");
  if (!items->is_array()) {
    problems_.Add(AtOf(items_node), items_path,
                  "got " + std::string(TypeName(*items)) + "; expected a list of objects");
    return;
  }
  for (size_t i = 0; i < items->size() && !problems_.is_full(); ++i) {
    const Node* item_node = items_node != nullptr ? &items_node->children[i] : nullptr;
    Read((*items)[i], item_node, items_path.Item(i), check_bytes, type);
  }
}

// Beside spec and status, Istio's kinds have nothing at the root.
void ObjectReader::CheckRoot(const Json& document, const Node* node, const FieldPath& path) {
  static const std::vector<std::string_view> kNames = {"apiVersion", "kind", "metadata", "spec",
                                                       "status"};
  size_t i = 0;
  for (const auto& [name, value] : document.get_ref<const Json::object_t&>()) {
    const Node* child = node != nullptr ? &node->children[i++] : nullptr;
    if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) continue;
    const std::string_view near = Nearest(name, kNames);
    problems_.Add(child != nullptr ? child->key : Position(), path.Field(name),
                  near.empty() ? "unknown field; expected it below spec"
                               : "unknown field; did you mean " + std::string(near) + "?");
  }
}

std::shared_ptr<const google::protobuf::Message> ObjectReader::Decode(const Json& document,
                                                                      const Node* node,
                                                                      const FieldPath& path,
                                                                      const Kind& kind) {
  if (kind.prototype == nullptr) return nullptr;
  std::shared_ptr<google::protobuf::Message> message(kind.prototype()->New());
  const size_t problems_before = problems_.size();
  if (kind.body == Body::kRoot) {
    DecodeMessage(document, node, path, kind.strictness, *message, problems_);
    return message;
  }
  const FieldPath spec_path = path.Field("spec");
  const auto spec = document.find("spec");
  const bool has_spec = spec != document.end() && !spec->is_null();
  const Node* spec_node = ChildNode(document, node, "spec");
  if (has_spec) {
    DecodeMessage(*spec, spec_node, spec_path, kind.strictness, *message, problems_);
  }
  if (problems_.size() == problems_before) {
    static const Json kNothing = Json::object();
    Validate(kind, *message, document,
             {has_spec ? *spec : kNothing, has_spec ? spec_node : node, spec_path}, problems_);
  }
  return message;
}

void ObjectReader::ReadObject(Json& document, const Node* node, const FieldPath& path,
                              const Kind& kind) {
  Object object;
  object.kind = &kind;
  object.source = source_;
  if (node != nullptr) {
    object.source.line = node->at.line;
    object.source.column = node->at.column;
  }
  if (kind.body == Body::kSpec) CheckRoot(document, node, path);
  object.meta = ReadMetadata(document, node, path, kind, default_namespace_, problems_);
  object.spec = Decode(document, node, path, kind);
  if (!problems_.empty()) return;  // nothing of this text will be given out

  // After this the document and its nodes no longer match.
  document["apiVersion"] = TextMember(document, "apiVersion").empty()
                               ? kind.api_version()
                               : TextMember(document, "apiVersion");
  document["kind"] = kind.kind;
  Json& metadata = document["metadata"];
  if (object.meta.ns.empty()) {
    metadata.erase("namespace");
  } else {
    metadata["namespace"] = object.meta.ns;
  }
  object.document = std::make_shared<const Json>(std::move(document));
  objects.push_back(std::make_shared<const Object>(std::move(object)));
}

bool IsWithinNesting(const Json& value, size_t depth) {
  if (!value.is_structured()) return true;
  if (depth == 0) return false;
  return std::all_of(value.begin(), value.end(),
                     [&](const Json& child) { return IsWithinNesting(child, depth - 1); });
}

}  // namespace

StatusOr<std::vector<ObjectPtr>> ParseObjects(std::string_view text, const ParseOptions& options) {
  Problems problems(options.file);
  std::vector<YamlDocument> documents = ReadYaml(text, problems);
  if (!problems.empty()) return problems.ToStatus();
  ObjectReader reader(options.default_namespace, {options.file, 0, 0}, problems);
  for (YamlDocument& document : documents) {
    reader.Read(document.value, &document.node, {}, document.bytes > kObjectBytesMax, {});
  }
  if (!problems.empty()) return problems.ToStatus();
  return std::move(reader.objects);
}

StatusOr<ObjectPtr> DecodeObject(Json document, const std::string& default_namespace,
                                 Source source) {
  Problems problems(source.file, {source.line, source.column});
  if (!IsWithinNesting(document, kNestingMax)) {
    problems.Add({}, {},
                 "nested too deeply; expected at most " + std::to_string(kNestingMax) + " levels");
    return problems.ToStatus();
  }
  ObjectReader reader(default_namespace, std::move(source), problems);
  reader.Read(document, nullptr, {}, false, {});
  if (problems.empty() && reader.objects.size() != 1) {
    problems.Add({}, {},
                 std::to_string(reader.objects.size()) + " objects; expected exactly one object");
  }
  if (!problems.empty()) return problems.ToStatus();
  return std::move(reader.objects.front());
}

Status ParseMessage(std::string_view text, const std::string& file, Strictness strictness,
                    google::protobuf::Message& message) {
  message.Clear();
  Problems problems(file);
  const std::vector<YamlDocument> documents = ReadYaml(text, problems);
  if (documents.size() > 1) {
    problems.Add(documents[1].node.at, {}, "a second document; expected a single one");
  }
  if (problems.empty() && !documents.empty() && !documents[0].value.is_null()) {
    DecodeMessage(documents[0].value, &documents[0].node, {}, strictness, message, problems);
  }
  return problems.ToStatus();
}

StatusOr<std::vector<Json>> ParseYaml(std::string_view text, const std::string& file) {
  Problems problems(file);
  std::vector<Json> values;
  for (YamlDocument& document : ReadYaml(text, problems)) {
    values.push_back(std::move(document.value));
  }
  if (!problems.empty()) return problems.ToStatus();
  return values;
}

ObjectPtr WithMetadata(const Object& object, Metadata meta) {
  Object copy = object;
  Json document = *object.document;
  WriteMetadata(meta, document);
  copy.meta = std::move(meta);
  copy.document = std::make_shared<const Json>(std::move(document));
  return std::make_shared<const Object>(std::move(copy));
}

ObjectPtr WithStatus(const Object& object, Json status) {
  Object copy = object;
  Json document = *object.document;
  if (status.is_null()) {
    document.erase("status");
  } else {
    document["status"] = std::move(status);
  }
  if (object.spec != nullptr && object.kind->body == Body::kRoot) {
    // What does not fit the message stays in the document only.
    std::shared_ptr<google::protobuf::Message> message(object.spec->New());
    Problems ignored("");
    DecodeMessage(document, nullptr, {}, Strictness::kLenient, *message, ignored);
    copy.spec = std::move(message);
  }
  copy.document = std::make_shared<const Json>(std::move(document));
  return std::make_shared<const Object>(std::move(copy));
}

}  // namespace meltemi::config
