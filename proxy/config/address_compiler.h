// SPDX-License-Identifier: Apache-2.0
// envoy.config.core.v3.Address and durations → ours. Includes protobuf: for compilers only.
#pragma once

#include <google/protobuf/duration.pb.h>

#include "envoy/config/core/v3/address.pb.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/net/address.h"

namespace meltemi::proxy {

// A literal IP with a port, or a Unix path; names and internal addresses are refused.
StatusOr<net::Address> CompileAddress(const envoy::config::core::v3::Address& from);
StatusOr<net::Address> CompileSocketAddress(const envoy::config::core::v3::SocketAddress& from);

inline Duration CompileDuration(const google::protobuf::Duration& from) {
  return std::chrono::seconds(from.seconds()) + std::chrono::nanoseconds(from.nanos());
}

}  // namespace meltemi::proxy
