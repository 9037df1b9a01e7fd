// SPDX-License-Identifier: Apache-2.0
// HttpConnectionManager.scoped_routes → ScopedRoutes. Control thread only; includes protobuf.
// Scopes that stand in the listener alone: those of SRDS are refused.
#pragma once

#include <memory>

#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "lib/base/status.h"
#include "proxy/http/scoped_routes.h"
#include "proxy/listener/chain_handler.h"

namespace meltemi::proxy {

StatusOr<std::shared_ptr<const ScopedRoutes>> CompileScopedRoutes(
    const envoy::extensions::filters::network::http_connection_manager::v3::ScopedRoutes& from,
    const ChainContext& context);

}  // namespace meltemi::proxy
