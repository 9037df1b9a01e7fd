// SPDX-License-Identifier: Apache-2.0
// What Istio demands of its kinds beyond types: a VirtualService has hosts, weights are not
// negative, a destination is named.
#pragma once

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include "lib/config/kind.h"
#include "lib/config/problems.h"
#include "lib/config/yaml.h"

namespace meltemi::config {

// The spec as it was written; `node` may be nullptr.
struct SpecPlace {
  const nlohmann::json& value;
  const Node* node;
  const FieldPath& path;
};

// `message` is the decoded spec of an object of `kind`, `document` the whole of it.
void Validate(const Kind& kind, const google::protobuf::Message& message,
              const nlohmann::json& document, const SpecPlace& spec, Problems& problems);

}  // namespace meltemi::config
