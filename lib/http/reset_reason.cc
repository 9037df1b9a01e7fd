// SPDX-License-Identifier: Apache-2.0
#include "lib/http/reset_reason.h"

namespace meltemi::http {

ResetReason ResetFor(net::CloseReason reason, ResetReason lost) {
  switch (reason) {
    case net::CloseReason::kConnectFailed:
      return ResetReason::kConnectFailed;
    case net::CloseReason::kConnectTimeout:
      return ResetReason::kConnectTimeout;
    case net::CloseReason::kTlsFailed:
      return ResetReason::kTlsFailed;
    case net::CloseReason::kLocal:
      return ResetReason::kLocal;
    case net::CloseReason::kRemoteEnd:
    case net::CloseReason::kReset:
      break;
  }
  return lost;
}

}  // namespace meltemi::http
