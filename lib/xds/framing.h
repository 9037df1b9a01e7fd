// SPDX-License-Identifier: Apache-2.0
// Discovery responses as lists of shared slices: the bytes of a resource are written once, by
// Pilot, and every response that holds it points at them. Only the framing around them is made per
// response. Pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/grpc/server.h"
#include "lib/xds/source.h"

namespace meltemi::xds {

struct ResponseHead {
  std::string_view type_url;
  std::string version;  // of the whole configuration
  std::string nonce;
};

// A DiscoveryResponse (state of the world).
std::vector<grpc::Slice> FrameSotw(const ResponseHead& head,
                                   std::span<const ResourcePtr> resources);
// A DeltaDiscoveryResponse.
std::vector<grpc::Slice> FrameDelta(const ResponseHead& head,
                                    std::span<const ResourcePtr> resources,
                                    std::span<const std::string> removed);

// A resource's version on the wire.
std::string VersionText(uint64_t version);

}  // namespace meltemi::xds
