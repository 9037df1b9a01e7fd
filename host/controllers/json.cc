// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/json.h"

namespace meltemi::host {

const Json& At(const Json& value, std::string_view path) {
  static const Json kNull;
  const Json* at = &value;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string step(path.substr(0, slash));
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    if (!at->is_object()) return kNull;
    const auto found = at->find(step);
    if (found == at->end()) return kNull;
    at = &*found;
  }
  return *at;
}

std::string StringAt(const Json& value, std::string_view path, std::string_view otherwise) {
  const Json& found = At(value, path);
  return found.is_string() ? found.get<std::string>() : std::string(otherwise);
}

int64_t NumberAt(const Json& value, std::string_view path, int64_t otherwise) {
  const Json& found = At(value, path);
  return found.is_number_integer() ? found.get<int64_t>() : otherwise;
}

bool BoolAt(const Json& value, std::string_view path, bool otherwise) {
  const Json& found = At(value, path);
  return found.is_boolean() ? found.get<bool>() : otherwise;
}

const Json& ArrayAt(const Json& value, std::string_view path) {
  static const Json kEmpty = Json::array();
  const Json& found = At(value, path);
  return found.is_array() ? found : kEmpty;
}

std::map<std::string, std::string> MapAt(const Json& value, std::string_view path) {
  std::map<std::string, std::string> map;
  const Json& found = At(value, path);
  if (!found.is_object()) return map;
  for (const auto& [key, text] : found.items())
    if (text.is_string()) map[key] = text.get<std::string>();
  return map;
}

std::string NamespaceOf(const Json& object) {
  const std::string ns = StringAt(object, "metadata/namespace");
  return ns.empty() ? "default" : ns;
}

std::string NameOf(const Json& object) {
  return StringAt(object, "metadata/name");
}

std::string KeyOf(const Json& object) {
  return NamespaceOf(object) + "/" + NameOf(object);
}

}  // namespace meltemi::host
