// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/client_subscription.h"

#include <algorithm>
#include <iterator>

namespace meltemi::xds {

ClientSubscription::Difference ClientSubscription::Replace(const std::set<std::string>& wanted) {
  Difference difference;
  std::set_difference(wanted.begin(), wanted.end(), names.begin(), names.end(),
                      std::back_inserter(difference.added));
  std::set_difference(names.begin(), names.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(difference.dropped));
  if (!is_wildcard) {
    for (const std::string& name : difference.dropped) held.erase(name);
  }
  names = wanted;
  return difference;
}

}  // namespace meltemi::xds
