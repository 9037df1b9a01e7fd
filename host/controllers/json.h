// SPDX-License-Identifier: Apache-2.0
// Reading JSON objects whose shape nobody has promised: a missing or ill-typed field reads as its
// default, never as an exception.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace meltemi::host {

using Json = nlohmann::json;

// The value below `path` ("spec/template/metadata"); a null value when any step is missing.
const Json& At(const Json& value, std::string_view path);
std::string StringAt(const Json& value, std::string_view path, std::string_view otherwise = "");
int64_t NumberAt(const Json& value, std::string_view path, int64_t otherwise = 0);
bool BoolAt(const Json& value, std::string_view path, bool otherwise = false);
// Elements when it is an array, nothing otherwise.
const Json& ArrayAt(const Json& value, std::string_view path);
// References into a temporary would dangle.
const Json& At(Json&&, std::string_view) = delete;
const Json& ArrayAt(Json&&, std::string_view) = delete;
std::map<std::string, std::string> MapAt(const Json& value, std::string_view path);

// "namespace/name" of an object; a missing namespace is "default".
std::string KeyOf(const Json& object);
std::string NamespaceOf(const Json& object);
std::string NameOf(const Json& object);

}  // namespace meltemi::host
