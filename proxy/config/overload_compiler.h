// SPDX-License-Identifier: Apache-2.0
// envoy.config.overload.v3.OverloadManager → OverloadConfig. Control thread only. What the proxy
// cannot measure or do is refused by its path: to leave out what should shed load would be a
// promise broken in the worst moment.
#pragma once

#include "envoy/config/overload/v3/overload.pb.h"
#include "lib/base/status.h"
#include "proxy/overload/overload_config.h"

namespace meltemi::proxy {

StatusOr<OverloadConfig> CompileOverload(const envoy::config::overload::v3::OverloadManager& from);

// Keeps the linker from leaving out messages that appear only inside google.protobuf.Any.
void KeepOverloadTypes();

}  // namespace meltemi::proxy
