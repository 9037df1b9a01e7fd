// SPDX-License-Identifier: Apache-2.0
// One route of a delegate VirtualService under the route that delegates to it (istio-api.md §3.3).
// Pure.
#pragma once

#include "api/networking/v1/virtual_service.pb.h"

namespace meltemi::pilot {

// False when no match of `inner` refines a match of `root`: the route does not exist then.
bool MergeDelegateRoute(const istio::networking::v1::HTTPRoute& root,
                        const istio::networking::v1::HTTPRoute& inner,
                        istio::networking::v1::HTTPRoute& merged);

}  // namespace meltemi::pilot
