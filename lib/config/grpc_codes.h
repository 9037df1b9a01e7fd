// SPDX-License-Identifier: Apache-2.0
// Names of gRPC's status codes, as configuration writes them ("UNAVAILABLE"). Pure.
#pragma once

#include <optional>
#include <string_view>

namespace meltemi::config {

std::optional<int> GrpcCode(std::string_view name);

}  // namespace meltemi::config
