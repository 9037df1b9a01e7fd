// SPDX-License-Identifier: Apache-2.0
// Istio's standard TCP metrics (istio_tcp_*), recorded when connections open and close. Immutable;
// each worker records through its own recorder.
#pragma once

#include <memory>

#include "lib/telemetry/metrics.h"
#include "proxy/http/compile.h"
#include "proxy/listener/tcp_proxy.h"

namespace meltemi::proxy {

std::shared_ptr<const TcpObserver> NewTcpStats(telemetry::Registry& registry,
                                               const HttpProcess& process);

}  // namespace meltemi::proxy
