// SPDX-License-Identifier: Apache-2.0
#include "galley/api/kubernetes_protobuf.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <openssl/evp.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "galley/api/errors.h"
#include "galley/api/json_fields.h"

namespace meltemi::galley {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using nlohmann::json;

enum class Type {
  kText,
  kBool,
  kNumber,
  kTextList,
  kTextMap,
  kBytesMap,  // base64 in JSON
  kMessage,
  kMessageList,
  kEmpty,  // sent by Go though nothing is in it; anything in it is refused
  kTime,   // of the server's making: left out
};

struct Field {
  int number;
  const char* name;
  Type type;
  std::span<const Field> fields = {};
};

// Numbers from Kubernetes' generated.proto of meta/v1, core/v1 and authentication/v1.
constexpr Field kObjectMeta[] = {
    {1, "name", Type::kText},         {2, "generateName", Type::kText},
    {3, "namespace", Type::kText},    {4, "selfLink", Type::kText},
    {5, "uid", Type::kText},          {6, "resourceVersion", Type::kText},
    {7, "generation", Type::kNumber}, {8, "creationTimestamp", Type::kTime},
    {11, "labels", Type::kTextMap},   {12, "annotations", Type::kTextMap}};
constexpr Field kReference[] = {{1, "name", Type::kText}};
constexpr Field kNamespace[] = {{1, "metadata", Type::kMessage, kObjectMeta},
                                {2, "spec", Type::kEmpty},
                                {3, "status", Type::kEmpty}};
constexpr Field kConfigMap[] = {{1, "metadata", Type::kMessage, kObjectMeta},
                                {2, "data", Type::kTextMap},
                                {3, "binaryData", Type::kBytesMap},
                                {4, "immutable", Type::kBool}};
constexpr Field kSecret[] = {{1, "metadata", Type::kMessage, kObjectMeta},
                             {2, "data", Type::kBytesMap},
                             {3, "type", Type::kText},
                             {4, "stringData", Type::kTextMap},
                             {5, "immutable", Type::kBool}};
constexpr Field kServiceAccount[] = {{1, "metadata", Type::kMessage, kObjectMeta},
                                     {3, "imagePullSecrets", Type::kMessageList, kReference},
                                     {4, "automountServiceAccountToken", Type::kBool}};
constexpr Field kTokenSpec[] = {{1, "audiences", Type::kTextList},
                                {4, "expirationSeconds", Type::kNumber}};
constexpr Field kTokenStatus[] = {{1, "token", Type::kText},
                                  {2, "expirationTimestamp", Type::kTime}};
constexpr Field kTokenRequest[] = {{1, "metadata", Type::kMessage, kObjectMeta},
                                   {2, "spec", Type::kMessage, kTokenSpec},
                                   {3, "status", Type::kMessage, kTokenStatus}};

struct KnownKind {
  std::string_view api_version, kind;
  std::span<const Field> fields;
};
constexpr KnownKind kKinds[] = {{"v1", "ConfigMap", kConfigMap},
                                {"v1", "Namespace", kNamespace},
                                {"v1", "Secret", kSecret},
                                {"v1", "ServiceAccount", kServiceAccount},
                                {"authentication.k8s.io/v1", "TokenRequest", kTokenRequest}};

Status Malformed() {
  return BadRequest("the body is not Kubernetes' protobuf");
}

// The bytes of a field, a varint as its number.
struct Value {
  std::string bytes;
  uint64_t number = 0;
  bool is_number = false;
};

// Calls `take` with each field of a message.
template <typename Take>
Status ForEachField(std::string_view message, Take take) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                      static_cast<int>(message.size()));
  while (const uint32_t tag = in.ReadTag()) {
    Value value;
    uint32_t size = 0;
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_VARINT:
        value.is_number = true;
        if (!in.ReadVarint64(&value.number)) return Malformed();
        break;
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
        // ReadString refuses a size beyond the end before it allocates.
        if (!in.ReadVarint32(&size) || !in.ReadString(&value.bytes, static_cast<int>(size))) {
          return Malformed();
        }
        break;
      default:
        return Malformed();
    }
    MELTEMI_RETURN_IF_ERROR(take(WireFormatLite::GetTagFieldNumber(tag), value));
  }
  return in.ConsumedEntireMessage() ? absl::OkStatus() : Malformed();
}

std::string Base64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

StatusOr<json> ReadMessage(std::string_view message, std::span<const Field> fields);

Status ReadMapEntry(const std::string& entry, bool is_bytes, json& map) {
  std::string key, value;
  MELTEMI_RETURN_IF_ERROR(ForEachField(entry, [&](int number, Value& field) -> Status {
    if (field.is_number || number > 2) return Malformed();
    (number == 1 ? key : value) = std::move(field.bytes);
    return absl::OkStatus();
  }));
  map[key] = is_bytes ? Base64(value) : value;
  return absl::OkStatus();
}

Status ReadField(const Field& field, Value& value, json& object) {
  const bool wants_number = field.type == Type::kBool || field.type == Type::kNumber;
  if (wants_number != value.is_number) return Malformed();
  json& at = object[field.name];
  switch (field.type) {
    case Type::kText:
      at = std::move(value.bytes);
      return absl::OkStatus();
    case Type::kBool:
      at = value.number != 0;
      return absl::OkStatus();
    case Type::kNumber:
      at = static_cast<int64_t>(value.number);
      return absl::OkStatus();
    case Type::kTextList:
      at.push_back(std::move(value.bytes));
      return absl::OkStatus();
    case Type::kTextMap:
    case Type::kBytesMap:
      return ReadMapEntry(value.bytes, field.type == Type::kBytesMap, at);
    case Type::kMessage: {
      MELTEMI_ASSIGN_OR_RETURN(at, ReadMessage(value.bytes, field.fields));
      return absl::OkStatus();
    }
    case Type::kMessageList: {
      MELTEMI_ASSIGN_OR_RETURN(json element, ReadMessage(value.bytes, field.fields));
      at.push_back(std::move(element));
      return absl::OkStatus();
    }
    case Type::kEmpty:
    case Type::kTime:
      break;
  }
  object.erase(field.name);
  if (field.type == Type::kTime || value.bytes.empty()) return absl::OkStatus();
  // Go writes the strings of a message even when they are empty.
  return ForEachField(value.bytes, [&](int, const Value& inside) -> Status {
    if (!inside.is_number && inside.bytes.empty()) return absl::OkStatus();
    return UnsupportedMediaType(fmt::format("the field {} is served as JSON only", field.name));
  });
}

StatusOr<json> ReadMessage(std::string_view message, std::span<const Field> fields) {
  json object = json::object();
  MELTEMI_RETURN_IF_ERROR(ForEachField(message, [&](int number, Value& value) -> Status {
    for (const Field& field : fields) {
      if (field.number != number) continue;
      // An empty text is one that is absent.
      if (field.type == Type::kText && value.bytes.empty()) return absl::OkStatus();
      return ReadField(field, value, object);
    }
    return UnsupportedMediaType(fmt::format("field {} of the protobuf body is not known", number));
  }));
  return object;
}

}  // namespace

StatusOr<json> ReadKubernetesProtobuf(std::string_view body) {
  constexpr std::string_view kMagic("k8s\0", 4);
  if (!body.starts_with(kMagic)) return Malformed();
  static constexpr Field kTypeMeta[] = {{1, "apiVersion", Type::kText}, {2, "kind", Type::kText}};
  json type = json::object();
  std::optional<std::string> raw;
  // runtime.Unknown: the type, the object's bytes, and how they are encoded (as protobuf, when
  // nothing else is said).
  MELTEMI_RETURN_IF_ERROR(
      ForEachField(body.substr(kMagic.size()), [&](int number, Value& value) -> Status {
        if (value.is_number) return Malformed();
        if (number == 2) raw = std::move(value.bytes);
        if (number != 1) return absl::OkStatus();
        MELTEMI_ASSIGN_OR_RETURN(type, ReadMessage(value.bytes, kTypeMeta));
        return absl::OkStatus();
      }));
  if (!raw.has_value()) return Malformed();
  const std::string api_version = TextAt(type, "apiVersion"), kind = TextAt(type, "kind");
  for (const KnownKind& known : kKinds) {
    if (known.api_version != api_version || known.kind != kind) continue;
    MELTEMI_ASSIGN_OR_RETURN(json object, ReadMessage(*raw, known.fields));
    object["apiVersion"] = api_version;
    object["kind"] = kind;
    return object;
  }
  return UnsupportedMediaType(fmt::format(
      "{} {} is not served as protobuf; send JSON: kubectl create ... --dry-run=client -o yaml | "
      "kubectl apply -f -",
      api_version, kind));
}

}  // namespace meltemi::galley
