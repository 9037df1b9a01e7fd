// SPDX-License-Identifier: Apache-2.0
// VirtualServices: names made full, delegates merged into their roots, and the order in which a
// namespace sees them (istio-api.md §3.1, §3.3). Pure functions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/mesh/v1alpha1/config.pb.h"
#include "lib/base/status.h"
#include "lib/config/object.h"
#include "pilot/policy/policies.h"

namespace meltemi::pilot {

struct VirtualServiceView {
  Routing routing;                    // names are full; delegates are not merged yet
  std::vector<std::string> gateways;  // "mesh" or "NS/NAME"
  std::vector<std::string> export_to;
  WallTime created{};
  bool has_delegates = false;
  bool is_delegate() const { return routing.spec.hosts().empty(); }
};
using VirtualServicePtr = std::shared_ptr<const VirtualServiceView>;
using VirtualServiceList = std::vector<VirtualServicePtr>;

VirtualServicePtr ReadVirtualService(const config::Object& object, const std::string& domain,
                                     const istio::mesh::v1alpha1::MeshConfig& mesh);

// `find` gives a delegate by namespace and name, nullptr = none.
Routing MergeDelegates(
    const VirtualServiceView& root,
    const std::function<VirtualServicePtr(const std::string& ns, const std::string& name)>& find);

// Those of `all` (oldest first) that `ns` sees: its own private ones, then those exported to it by
// name, then the public ones; each group oldest first.
VirtualServiceList VisibleIn(const VirtualServiceList& all, const std::string& ns);

}  // namespace meltemi::pilot
