// SPDX-License-Identifier: Apache-2.0
// The HTTP filters of a connection manager, in Istio's order. Pure but for what is read.
#pragma once

#include <google/protobuf/any.pb.h>

#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "pilot/translate/http_connection.h"

namespace meltemi::pilot {

void AddHttpFilters(
    Reader& reader, const ProxyFacts& proxy, Direction direction,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& to);

// Whether the mesh wants Istio's standard metrics of this proxy, and can have them.
bool HasStats(Reader& reader, const ProxyFacts& proxy);
// istio.stats, for HTTP and for TCP.
google::protobuf::Any StatsConfig(Direction direction);

}  // namespace meltemi::pilot
