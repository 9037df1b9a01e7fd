// SPDX-License-Identifier: Apache-2.0
// The metadata of a document, read and written.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "lib/config/kind.h"
#include "lib/config/object.h"
#include "lib/config/problems.h"
#include "lib/config/yaml.h"

namespace meltemi::config {

// Of the document of an object of `kind`, whose node may be nullptr. A namespaced object without a
// namespace gets the default.
Metadata ReadMetadata(const nlohmann::json& document, const Node* node, const FieldPath& path,
                      const Kind& kind, const std::string& default_namespace, Problems& problems);

// Makes the document say what `meta` says; what only the document knows (finalizers) stays.
void WriteMetadata(const Metadata& meta, nlohmann::json& document);

}  // namespace meltemi::config
