// SPDX-License-Identifier: Apache-2.0
// The listener "virtualInbound" of a sidecar: every connection to the workload
// (istio-control-plane.md §2.4). Pure but for what is read.
#pragma once

#include <memory>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace meltemi::pilot {

std::unique_ptr<envoy::config::listener::v3::Listener> BuildVirtualInbound(Reader& reader,
                                                                           const ProxyFacts& proxy);

}  // namespace meltemi::pilot
