// SPDX-License-Identifier: Apache-2.0
// exportTo: who may see an object (istio-control-plane.md §1.4). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meltemi::pilot {

// In Istio's order of precedence where several objects claim one host.
enum class Visibility : uint8_t {
  kOwn,     // the viewer's own namespace, told to nobody else
  kNamed,   // exported to the viewer's namespace by name
  kPublic,  // "*", or nothing said
  kNone,
};

// Of an object in `ns`, for a viewer in `from_ns`. "*" overrides the rest; "~" alone hides it from
// everybody.
Visibility VisibilityOf(const std::vector<std::string>& export_to, const std::string& ns,
                        const std::string& from_ns);

}  // namespace meltemi::pilot
