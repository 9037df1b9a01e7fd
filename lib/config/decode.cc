// SPDX-License-Identifier: Apache-2.0
#include "lib/config/decode.h"

#include <google/protobuf/descriptor.pb.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "lib/config/decode_number.h"
#include "lib/config/duration.h"

namespace meltemi::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::json;

// What is decoded, and where it stands.
struct Place {
  const Json& value;
  const Node* node;
  const FieldPath& path;

  Position at() const { return node != nullptr ? node->at : Position(); }
  Position key() const { return node != nullptr ? node->key : Position(); }
  const Node* child(size_t i) const { return node != nullptr ? &node->children[i] : nullptr; }
};

// Where a scalar goes: a field, an element of a repeated field, or a member of a map's entry.
struct Target {
  Message& message;
  const FieldDescriptor* field;

  template <typename Set, typename Add, typename Value>
  void Put(Set set, Add add, Value value) const {
    const Reflection* reflection = message.GetReflection();
    if (field->is_repeated()) {
      (reflection->*add)(&message, field, std::move(value));
    } else {
      (reflection->*set)(&message, field, std::move(value));
    }
  }
  Message& Open() const {
    const Reflection* reflection = message.GetReflection();
    return field->is_repeated() ? *reflection->AddMessage(&message, field)
                                : *reflection->MutableMessage(&message, field);
  }
};

class Decoder final {
 public:
  Decoder(Strictness strictness, Problems& problems)
      : strictness_(strictness), problems_(problems) {}

  void DecodeMessage(const Place& place, Message& message);

 private:
  void Add(const Place& place, std::string_view what) {
    problems_.Add(place.at(), place.path, what);
  }
  void Expected(const Place& place, std::string_view expected) {
    Add(place, "got " + std::string(TypeName(place.value)) + "; expected " + std::string(expected));
  }

  const FieldDescriptor* FindField(const Descriptor& type, const std::string& name) const;
  void ReportUnknown(const Place& place, const Descriptor& type);
  void DecodeField(const Place& place, const FieldDescriptor* field, Message& message);
  void DecodeMap(const Place& place, const FieldDescriptor* field, Message& message);
  void DecodeMapKey(const std::string& key, const Place& place, const Target& target);
  void DecodeOne(const Place& place, const Target& target);
  void DecodeSpecial(const Place& place, const Target& target);
  void DecodeIntOrString(const Place& place, Message& message);
  void DecodeDuration(const Place& place, Message& message);
  void DecodeString(const Place& place, const Target& target);
  void DecodeBool(const Place& place, const Target& target);
  void DecodeEnum(const Place& place, const Target& target);
  void DecodeNumber(const Place& place, const Target& target);
  void DecodeFloating(const Place& place, const Target& target);

  const Strictness strictness_;
  Problems& problems_;
};

// JSON name or original name; the first lookup serves nearly all.
const FieldDescriptor* Decoder::FindField(const Descriptor& type, const std::string& name) const {
  const FieldDescriptor* field = type.FindFieldByCamelcaseName(name);
  if (field != nullptr && field->json_name() == name) return field;
  field = type.FindFieldByName(name);
  if (field != nullptr) return field;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name) return type.field(i);
  }
  return nullptr;
}

void Decoder::ReportUnknown(const Place& place, const Descriptor& type) {
  std::vector<std::string_view> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->json_name());
  std::string what = "unknown field; ";
  if (const std::string_view near = Nearest(place.path.name(), names); !near.empty()) {
    what += "did you mean " + std::string(near) + "?";
  } else {
    what += "expected one of";
    for (size_t i = 0; i < names.size(); ++i) what += (i == 0 ? " " : ", ") + std::string(names[i]);
  }
  problems_.Add(place.key(), place.path, what);
}

void Decoder::DecodeMessage(const Place& place, Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  if (!place.value.is_object())
    return Expected(place, "a mapping with the fields of " + type.name());
  size_t i = 0;
  for (const auto& [name, value] : place.value.get_ref<const Json::object_t&>()) {
    if (problems_.is_full()) return;
    const FieldPath path = place.path.Field(name);
    const Place member{value, place.child(i++), path};
    const FieldDescriptor* field = FindField(type, name);
    if (field != nullptr) {
      DecodeField(member, field, message);
    } else if (strictness_ == Strictness::kStrict) {
      ReportUnknown(member, type);
    }
  }
}

void Decoder::DecodeField(const Place& place, const FieldDescriptor* field, Message& message) {
  const bool takes_null = field->message_type() != nullptr &&
                          field->message_type()->full_name() == "google.protobuf.Value";
  if (place.value.is_null() && !takes_null) return;  // null is as good as absent
  const Reflection* reflection = message.GetReflection();
  if (const auto* oneof = field->real_containing_oneof()) {
    const FieldDescriptor* other = reflection->GetOneofFieldDescriptor(message, oneof);
    if (other != nullptr) {
      problems_.Add(place.key(), place.path,
                    "excludes " + other->json_name() + ", which is set too; expected one of them");
      return;
    }
  } else if (!field->is_repeated() && reflection->HasField(message, field)) {
    problems_.Add(place.key(), place.path,
                  "set twice, under both of its names; expected it once, as " + field->json_name());
    return;
  }
  if (field->is_map()) return DecodeMap(place, field, message);
  if (!field->is_repeated()) return DecodeOne(place, {message, field});
  if (!place.value.is_array()) return Expected(place, "a list");
  for (size_t i = 0; i < place.value.size() && !problems_.is_full(); ++i) {
    const FieldPath path = place.path.Item(i);
    const Place item{place.value[i], place.child(i), path};
    if (item.value.is_null() && !takes_null) {
      Add(item, "null in a list; expected a value, or no element");
    } else {
      DecodeOne(item, {message, field});
    }
  }
}

void Decoder::DecodeMap(const Place& place, const FieldDescriptor* field, Message& message) {
  if (!place.value.is_object()) return Expected(place, "a mapping");
  const FieldDescriptor* key_field = field->message_type()->map_key();
  const FieldDescriptor* value_field = field->message_type()->map_value();
  size_t i = 0;
  for (const auto& [key, value] : place.value.get_ref<const Json::object_t&>()) {
    if (problems_.is_full()) return;
    const FieldPath path = place.path.Key(key);
    const Place member{value, place.child(i++), path};
    if (value.is_null()) {
      Add(member, "null in a mapping; expected a value, or no such key");
      continue;
    }
    Message& entry = *message.GetReflection()->AddMessage(&message, field);
    DecodeMapKey(key, member, {entry, key_field});
    DecodeOne(member, {entry, value_field});
  }
}

void Decoder::DecodeMapKey(const std::string& key, const Place& place, const Target& target) {
  if (target.field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    target.Put(&Reflection::SetString, &Reflection::AddString, key);
    return;
  }
  const Json text(key);
  const Place of_key{text, nullptr, place.path};
  if (target.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return DecodeBool(of_key, target);
  if (!PutInteger(text, target.message, target.field)) {
    problems_.Add(place.key(), place.path,
                  "the key is not a number; expected " + IntegerRange(target.field));
  }
}

void Decoder::DecodeOne(const Place& place, const Target& target) {
  switch (target.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return DecodeSpecial(place, target);
    case FieldDescriptor::CPPTYPE_STRING:
      return DecodeString(place, target);
    case FieldDescriptor::CPPTYPE_BOOL:
      return DecodeBool(place, target);
    case FieldDescriptor::CPPTYPE_ENUM:
      return DecodeEnum(place, target);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return DecodeFloating(place, target);
    default:
      return DecodeNumber(place, target);
  }
}

// Messages with a JSON form of their own, then ours.
void Decoder::DecodeSpecial(const Place& place, const Target& target) {
  const Descriptor& type = *target.field->message_type();
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return DecodeDuration(place, target.Open());
    case Descriptor::WELLKNOWNTYPE_DOUBLEVALUE:
    case Descriptor::WELLKNOWNTYPE_FLOATVALUE:
    case Descriptor::WELLKNOWNTYPE_INT64VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT64VALUE:
    case Descriptor::WELLKNOWNTYPE_INT32VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT32VALUE:
    case Descriptor::WELLKNOWNTYPE_STRINGVALUE:
    case Descriptor::WELLKNOWNTYPE_BYTESVALUE:
    case Descriptor::WELLKNOWNTYPE_BOOLVALUE:
      return DecodeOne(place, {target.Open(), type.FindFieldByNumber(1)});
    case Descriptor::WELLKNOWNTYPE_STRUCT:
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      if (!PutAnything(place.value, target.Open())) Expected(place, "a list or mapping");
      return;
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return Add(place, "this field is not supported; expected it left out");
    default:
      break;
  }
  if (type.full_name() == "meltemi.api.core.v1.IntOrString") {
    return DecodeIntOrString(place, target.Open());
  }
  DecodeMessage(place, target.Open());
}

void Decoder::DecodeIntOrString(const Place& place, Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  if (place.value.is_string()) {
    return DecodeString(place, {message, type.FindFieldByName("string_value")});
  }
  if (!PutInteger(place.value, message, type.FindFieldByName("int_value"))) {
    Expected(place, "a port's number or name");
  }
}

void Decoder::DecodeDuration(const Place& place, Message& message) {
  if (!place.value.is_string()) return Expected(place, "a duration such as 1.5s");
  const std::string& text = place.value.get_ref<const std::string&>();
  const std::optional<Duration> duration = ParseDuration(text);
  if (!duration)
    return Add(place, Quoted(text) + " is no duration; expected a duration such as 1.5s");
  const Descriptor& type = *message.GetDescriptor();
  constexpr int64_t kSecond = 1'000'000'000;
  const Reflection* reflection = message.GetReflection();
  reflection->SetInt64(&message, type.FindFieldByNumber(1), duration->count() / kSecond);
  reflection->SetInt32(&message, type.FindFieldByNumber(2),
                       static_cast<int32_t>(duration->count() % kSecond));
}

// Values are not told: they may be secrets.
void Decoder::DecodeString(const Place& place, const Target& target) {
  const bool is_bytes = target.field->type() == FieldDescriptor::TYPE_BYTES;
  if (!place.value.is_string()) {
    return Expected(place, is_bytes ? "base64 text" : "a string; put the value in quotes");
  }
  std::string text = place.value.get<std::string>();
  if (is_bytes) {
    std::string decoded;
    if (!absl::Base64Unescape(text, &decoded) && !absl::WebSafeBase64Unescape(text, &decoded)) {
      return Add(place, "not base64; expected base64 text");
    }
    text = std::move(decoded);
  }
  target.Put(&Reflection::SetString, &Reflection::AddString, std::move(text));
}

void Decoder::DecodeBool(const Place& place, const Target& target) {
  const bool is_text =
      place.value.is_string() && target.field->containing_type()->options().map_entry();
  if (place.value.is_boolean()) {
    target.Put(&Reflection::SetBool, &Reflection::AddBool, place.value.get<bool>());
  } else if (is_text && (place.value == "true" || place.value == "false")) {
    target.Put(&Reflection::SetBool, &Reflection::AddBool, place.value == "true");
  } else {
    Expected(place, "true or false");
  }
}

void Decoder::DecodeEnum(const Place& place, const Target& target) {
  const EnumDescriptor& type = *target.field->enum_type();
  const EnumValueDescriptor* found = nullptr;
  if (place.value.is_string()) {
    found = type.FindValueByName(place.value.get_ref<const std::string&>());
  } else if (const std::optional<int64_t> number = WholeNumber(place.value);
             number && *number >= INT32_MIN && *number <= INT32_MAX) {
    found = type.FindValueByNumber(static_cast<int>(*number));
  }
  if (found != nullptr) {
    target.Put(&Reflection::SetEnum, &Reflection::AddEnum, found);
    return;
  }
  std::string what = place.value.is_string() ? Quoted(place.value.get_ref<const std::string&>())
                                             : std::string(TypeName(place.value));
  what += " is not known here; expected one of";
  for (int i = 0; i < type.value_count(); ++i)
    what += (i == 0 ? " " : ", ") + type.value(i)->name();
  Add(place, what);
}

void Decoder::DecodeNumber(const Place& place, const Target& target) {
  if (PutInteger(place.value, target.message, target.field)) return;
  const std::string got =
      place.value.is_number() ? place.value.dump() : std::string(TypeName(place.value));
  Add(place, "got " + got + "; expected " + IntegerRange(target.field));
}

void Decoder::DecodeFloating(const Place& place, const Target& target) {
  const std::optional<double> number = Number(place.value);
  if (!number) return Expected(place, "a number");
  if (target.field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    target.Put(&Reflection::SetDouble, &Reflection::AddDouble, *number);
  } else if (std::fabs(*number) <= std::numeric_limits<float>::max()) {
    target.Put(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(*number));
  } else {
    Add(place, "too large a number; expected one that a float can hold");
  }
}

}  // namespace

void DecodeMessage(const Json& value, const Node* node, const FieldPath& path,
                   Strictness strictness, Message& message, Problems& problems) {
  Decoder(strictness, problems).DecodeMessage({value, node, path}, message);
}

std::string_view TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "a list";
    default:
      return "a mapping";
  }
}

}  // namespace meltemi::config
