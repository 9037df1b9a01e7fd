// SPDX-License-Identifier: Apache-2.0
// Header operations of a VirtualService, for routes and weighted clusters alike. Pure functions.
#pragma once

#include <string>

#include "api/networking/v1/virtual_service.pb.h"
#include "envoy/config/core/v3/base.pb.h"

namespace meltemi::pilot {

using HeaderOptions =
    google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>;

// Headers to set, then those to add, each in the order of names; pseudo headers are left out.
void AddHeaders(const istio::networking::v1::Headers::HeaderOperations& from, HeaderOptions& to);
// What "host" or ":authority" is set to: a rewrite of the authority rather than a header. "" =
// nothing.
std::string AuthorityOf(const istio::networking::v1::Headers& headers);

// `To` is a Route or a ClusterWeight.
template <typename To>
void AddHeaderOperations(const istio::networking::v1::Headers& from, To& to) {
  AddHeaders(from.request(), *to.mutable_request_headers_to_add());
  AddHeaders(from.response(), *to.mutable_response_headers_to_add());
  for (const std::string& name : from.request().remove()) to.add_request_headers_to_remove(name);
  for (const std::string& name : from.response().remove()) to.add_response_headers_to_remove(name);
}

}  // namespace meltemi::pilot
