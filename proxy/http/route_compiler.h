// SPDX-License-Identifier: Apache-2.0
// envoy.config.route.v3 → lib/routing. Control thread only. Includes protobuf: for compilers, not
// for the path of a request.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <memory>

#include "envoy/config/route/v3/route.pb.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "proxy/http/routes.h"

namespace meltemi::proxy {

StatusOr<std::shared_ptr<const HttpRoutes>> CompileRouteConfiguration(
    const envoy::config::route::v3::RouteConfiguration& from, ClusterNames& clusters);

StatusOr<routing::StringMatch> CompileStringMatch(
    const envoy::type::matcher::v3::StringMatcher& from);
StatusOr<routing::HeaderPredicate> CompileHeaderMatch(
    const envoy::config::route::v3::HeaderMatcher& from);
StatusOr<routing::Fraction> CompileFraction(const envoy::type::v3::FractionalPercent& from);
StatusOr<routing::HeaderMutations> CompileHeadersToAdd(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& from);
Duration ToDuration(const google::protobuf::Duration& from);

}  // namespace meltemi::proxy
