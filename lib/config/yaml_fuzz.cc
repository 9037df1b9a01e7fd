// SPDX-License-Identifier: Apache-2.0
// Any bytes as YAML and as objects: positions stay in step with values, what is read can be written
// and read again as the same, and refusals have text.
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"
#include "lib/config/parse.h"
#include "lib/config/yaml.h"

namespace {

using namespace meltemi;
using namespace meltemi::config;

void CheckInStep(const nlohmann::json& value, const Node& node) {
  MELTEMI_CHECK(node.children.size() == (value.is_structured() ? value.size() : 0));
  size_t i = 0;
  for (const nlohmann::json& child : value) {
    if (!value.is_structured()) break;
    CheckInStep(child, node.children[i++]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Problems problems("f");
  const std::vector<YamlDocument> documents = ReadYaml(text, problems);
  if (problems.empty()) {
    for (const YamlDocument& document : documents) {
      CheckInStep(document.value, document.node);
      const std::string written = ToYaml(document.value);
      const auto again = ParseYaml(written, "again");
      MELTEMI_CHECK(again.ok() && again->size() == 1 && again->front() == document.value);
    }
  }
  const auto objects = ParseObjects(text, {"f", "default"});
  if (!objects.ok()) {
    MELTEMI_CHECK(!objects.status().message().empty());
    return 0;
  }
  for (const ObjectPtr& object : *objects) {
    MELTEMI_CHECK(DecodeObject(*object->document, "default").ok());
  }
  return 0;
}
