// SPDX-License-Identifier: Apache-2.0
// YAML (of which JSON is a part) as JSON values, with the position of every node.
//
// Invariants: 1. A node of a sequence or mapping has one child per element, in the order the JSON
// value iterates in (mappings: sorted by key). 2. No value is nested deeper than kNestingMax.
// 3. Aliases cannot make more out of a text than kAliasWeightMax.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/config/problems.h"

namespace meltemi::config {

// A node weighs kNodeWeight and its text.
inline constexpr size_t kNodeWeight = 64;
inline constexpr size_t kAliasWeightMax = 8 * 1024 * 1024;
inline constexpr size_t kYamlNodesMax = 4'000'000;

struct Node {
  Position at;   // of the value
  Position key;  // of the key before it, in mappings
  std::vector<Node> children;
};

struct YamlDocument {
  nlohmann::json value;
  Node node;
  size_t bytes = 0;  // of text, with what aliases add
};

// Syntax errors, duplicate keys and exceeded limits go to `problems`; what is given back then is
// incomplete and only good for finding more problems.
std::vector<YamlDocument> ReadYaml(std::string_view text, Problems& problems);

// The node of member `key` of a mapping; nullptr when `node` is, or there is no such member.
const Node* ChildNode(const nlohmann::json& value, const Node* node, std::string_view key);

}  // namespace meltemi::config
