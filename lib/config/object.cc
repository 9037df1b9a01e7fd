// SPDX-License-Identifier: Apache-2.0
#include "lib/config/object.h"

namespace meltemi::config {

std::string ObjectKey::text() const {
  std::string text(kind != nullptr ? kind->kind : std::string_view("Object"));
  text += ' ';
  if (!ns.empty()) text += ns + '/';
  return text + name;
}

}  // namespace meltemi::config
