// SPDX-License-Identifier: Apache-2.0
#include "lib/config/decode_number.h"

#include <google/protobuf/struct.pb.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace meltemi::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::json;

template <typename T>
std::optional<T> FromText(const std::string& text) {
  T number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// 2^53: above it a double does not tell neighbours apart.
constexpr double kExactMax = 9007199254740992.0;

template <typename T>
std::optional<T> Integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(std::numeric_limits<T>::max())) {
      return static_cast<T>(number);
    }
  } else if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();
    if constexpr (std::is_signed_v<T>) {
      if (number >= std::numeric_limits<T>::min() && number <= std::numeric_limits<T>::max()) {
        return static_cast<T>(number);
      }
    } else if (number >= 0 && static_cast<uint64_t>(number) <= std::numeric_limits<T>::max()) {
      return static_cast<T>(number);
    }
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::fabs(number) <= kExactMax) {
      return Integer<T>(Json(static_cast<int64_t>(number)));
    }
  } else if (value.is_string()) {
    return FromText<T>(value.get_ref<const std::string&>());
  }
  return std::nullopt;
}

template <typename T, typename Set, typename Add>
bool Put(const Json& value, Message& message, const FieldDescriptor* field, Set set, Add add) {
  const std::optional<T> number = Integer<T>(value);
  if (!number) return false;
  const Reflection* reflection = message.GetReflection();
  if (field->is_repeated()) {
    (reflection->*add)(&message, field, *number);
  } else {
    (reflection->*set)(&message, field, *number);
  }
  return true;
}

template <typename T>
std::string Range() {
  return "a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
         std::to_string(std::numeric_limits<T>::max());
}

void PutStruct(const Json& value, google::protobuf::Struct& out);

void PutValue(const Json& value, google::protobuf::Value& out) {
  if (value.is_boolean()) {
    out.set_bool_value(value.get<bool>());
  } else if (value.is_number()) {
    out.set_number_value(value.get<double>());
  } else if (value.is_string()) {
    out.set_string_value(value.get<std::string>());
  } else if (value.is_array()) {
    auto& list = *out.mutable_list_value();
    for (const Json& item : value) PutValue(item, *list.add_values());
  } else if (value.is_object()) {
    PutStruct(value, *out.mutable_struct_value());
  } else {
    out.set_null_value(google::protobuf::NULL_VALUE);
  }
}

void PutStruct(const Json& value, google::protobuf::Struct& out) {
  for (const auto& [key, member] : value.get_ref<const Json::object_t&>()) {
    PutValue(member, (*out.mutable_fields())[key]);
  }
}

}  // namespace

std::optional<int64_t> WholeNumber(const Json& value) {
  return value.is_number() ? Integer<int64_t>(value) : std::nullopt;
}

std::optional<double> Number(const Json& value) {
  std::optional<double> number;
  if (value.is_number()) number = value.get<double>();
  if (value.is_string()) number = FromText<double>(value.get_ref<const std::string&>());
  return number && std::isfinite(*number) ? number : std::nullopt;
}

bool PutInteger(const Json& value, Message& message, const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Put<int32_t>(value, message, field, &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Put<uint32_t>(value, message, field, &Reflection::SetUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return Put<int64_t>(value, message, field, &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Put<uint64_t>(value, message, field, &Reflection::SetUInt64, &Reflection::AddUInt64);
    default:
      return false;
  }
}

std::string IntegerRange(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Range<int32_t>();
    case FieldDescriptor::CPPTYPE_UINT32:
      return Range<uint32_t>();
    case FieldDescriptor::CPPTYPE_UINT64:
      return Range<uint64_t>();
    default:
      return Range<int64_t>();
  }
}

bool PutAnything(const Json& value, Message& message) {
  if (auto* out = dynamic_cast<google::protobuf::Value*>(&message)) {
    PutValue(value, *out);
    return true;
  }
  if (auto* out = dynamic_cast<google::protobuf::Struct*>(&message)) {
    if (!value.is_object()) return false;
    PutStruct(value, *out);
    return true;
  }
  auto* out = dynamic_cast<google::protobuf::ListValue*>(&message);
  if (out == nullptr || !value.is_array()) return false;
  for (const Json& item : value) PutValue(item, *out->add_values());
  return true;
}

}  // namespace meltemi::config
