// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/export_to.h"

namespace meltemi::pilot {

Visibility VisibilityOf(const std::vector<std::string>& export_to, const std::string& ns,
                        const std::string& from_ns) {
  if (export_to.empty()) return Visibility::kPublic;
  bool is_own = false, is_named = false;
  for (const std::string& entry : export_to) {
    if (entry == "*") return Visibility::kPublic;
    const std::string& target = entry == "." ? ns : entry;
    if (target != from_ns) continue;
    (target == ns ? is_own : is_named) = true;
  }
  if (is_own) return Visibility::kOwn;
  return is_named ? Visibility::kNamed : Visibility::kNone;
}

}  // namespace meltemi::pilot
