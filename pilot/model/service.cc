// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/service.h"

#include <algorithm>

#include "pilot/model/export_to.h"

namespace meltemi::pilot {

const ServicePort* Service::FindPort(uint32_t number) const {
  const auto found = std::find_if(ports.begin(), ports.end(),
                                  [number](const ServicePort& p) { return p.number == number; });
  return found == ports.end() ? nullptr : &*found;
}

bool Service::IsVisibleTo(const std::string& from_ns) const {
  return VisibilityOf(export_to, ns, from_ns) != Visibility::kNone;
}

}  // namespace meltemi::pilot
