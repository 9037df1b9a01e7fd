// SPDX-License-Identifier: Apache-2.0
// From JSON values to messages by reflection: the rules of protobuf's JSON form, with Go's
// durations as Istio takes them and Kubernetes' IntOrString. Every problem is told with position
// and path.
#pragma once

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include "lib/config/kind.h"
#include "lib/config/problems.h"
#include "lib/config/yaml.h"

namespace meltemi::config {

// Into `message`, which is empty. `node` may be nullptr: then positions are unknown. Lenient
// ignores unknown fields; values of a wrong type are problems in both.
void DecodeMessage(const nlohmann::json& value, const Node* node, const FieldPath& path,
                   Strictness strictness, google::protobuf::Message& message, Problems& problems);

// "a string", "a list": what a value is, for messages.
std::string_view TypeName(const nlohmann::json& value);

}  // namespace meltemi::config
