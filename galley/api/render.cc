// SPDX-License-Identifier: Apache-2.0
#include "galley/api/render.h"

#include <nlohmann/json.hpp>

#include "galley/api/errors.h"
#include "galley/api/json_fields.h"

namespace meltemi::galley {

using nlohmann::json;

std::string RenderObject(const config::Object& object, const std::string& api_version) {
  if (TextAt(*object.document, "apiVersion") == api_version) return Dump(*object.document);
  json document = *object.document;
  document["apiVersion"] = api_version;
  return Dump(document);
}

std::string RenderList(const Route& route, std::span<const config::ObjectPtr> objects,
                       uint64_t version) {
  const std::string api_version = route.api_version();
  std::string text = "{\"kind\":\"" + std::string(route.kind->kind) + "List\",\"apiVersion\":\"" +
                     api_version + "\",\"metadata\":{\"resourceVersion\":\"" +
                     std::to_string(version) + "\"},\"items\":[";
  for (const config::ObjectPtr& object : objects) {
    if (text.back() != '[') text += ',';
    text += RenderObject(*object, api_version);
  }
  return text + "]}";
}

std::string RenderEvent(const char* type, const config::Object& object,
                        const std::string& api_version, uint64_t version) {
  const std::string version_text = std::to_string(version);
  std::string text = std::string("{\"type\":\"") + type + "\",\"object\":";
  if (object.meta.resource_version == version_text) {
    text += RenderObject(object, api_version);
  } else {
    json document = *object.document;
    document["apiVersion"] = api_version;
    document["metadata"]["resourceVersion"] = version_text;
    text += Dump(document);
  }
  return text + "}\n";
}

}  // namespace meltemi::galley
