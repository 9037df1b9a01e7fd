// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/http/stream.h"

namespace meltemi::http {

// Why a client stream ended with its connection; `lost` where the connection was up and just went.
ResetReason ResetFor(net::CloseReason reason, ResetReason lost);

}  // namespace meltemi::http
