// SPDX-License-Identifier: Apache-2.0
// envoy.filters.http.grpc_stats: accepted, without effect. Istio puts it into every chain to feed
// message counters; it decides nothing.
#include "proxy/filters/registry.h"

namespace meltemi::proxy {

extern const FilterKind kGrpcStatsFilter;
const FilterKind kGrpcStatsFilter = {
    "envoy.filters.http.grpc_stats",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "",
    [](std::string_view, const FilterContext&) -> StatusOr<std::shared_ptr<const HttpFilter>> {
      return std::shared_ptr<const HttpFilter>();
    },
    nullptr,
};

}  // namespace meltemi::proxy
