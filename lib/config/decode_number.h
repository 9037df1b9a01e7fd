// SPDX-License-Identifier: Apache-2.0
// Numbers and untyped values of protobuf's JSON form, for decode.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

namespace meltemi::config {

// A whole number, also when written as 3.0.
std::optional<int64_t> WholeNumber(const nlohmann::json& value);
// A finite number, also when it is a string.
std::optional<double> Number(const nlohmann::json& value);

// Into an integer field (or one more element of it); also from a string. False when it is not one
// or does not fit.
bool PutInteger(const nlohmann::json& value, google::protobuf::Message& message,
                const google::protobuf::FieldDescriptor* field);
// "a whole number from 0 to 4294967295"
std::string IntegerRange(const google::protobuf::FieldDescriptor* field);

// Into a Struct, Value or ListValue; false when the value is not of that shape.
bool PutAnything(const nlohmann::json& value, google::protobuf::Message& message);

}  // namespace meltemi::config
