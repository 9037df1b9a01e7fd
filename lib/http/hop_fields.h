// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/http/headers.h"

namespace meltemi::http {

// Fields of one HTTP/1 hop: whoever put them there meant another connection than the next. What
// they say of a message stands in its head.
constexpr bool IsHopField(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kContentLength:
    case HeaderId::kHost:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    default:
      return false;
  }
}

}  // namespace meltemi::http
