// SPDX-License-Identifier: Apache-2.0
// Host names in configuration: short ones, wildcards, and which covers which. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace meltemi::pilot {

// Istio's rule: a name without a dot is a Service of the rule's namespace; "*" and addresses stay.
std::string FullHost(std::string_view host, std::string_view ns, std::string_view domain);

constexpr bool IsWildcardHost(std::string_view host) {
  return host.starts_with("*");
}

// The names that cover `host`, most specific first: itself, "*.b.c", "*.c", "*".
std::vector<std::string> CoveringHosts(std::string_view host);

}  // namespace meltemi::pilot
