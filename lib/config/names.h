// SPDX-License-Identifier: Apache-2.0
// What Kubernetes takes as names, labels and annotations. Each check gives "" when the text is
// fine, otherwise what was expected.
#pragma once

#include <string_view>

#include "lib/config/kind.h"

namespace meltemi::config {

bool IsDnsLabel(std::string_view text);      // RFC 1123, at most 63 characters
bool IsDnsSubdomain(std::string_view text);  // labels with dots, at most 253 characters

std::string_view CheckName(const Kind& kind, std::string_view name);
std::string_view CheckLabelKey(std::string_view key);  // annotations too
std::string_view CheckLabelValue(std::string_view value);

}  // namespace meltemi::config
