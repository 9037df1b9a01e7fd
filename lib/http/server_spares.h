// SPDX-License-Identifier: Apache-2.0
// What the server connections of one thread have in common: the memory of requests. Worker-local;
// outlives the connections.
#pragma once

#include "lib/base/spares.h"
#include "lib/http/h1/request_state.h"

namespace meltemi::http {

struct ServerSpares {
  // More requests than this at once come and go with the heap.
  static constexpr size_t kKeptMax = 256;
  Spares<h1::RequestState> http1{kKeptMax};
};

}  // namespace meltemi::http
