// SPDX-License-Identifier: Apache-2.0
// What a connection holds of a request while that is under way, and no longer. Worker-local; used
// again for the next request of any connection, with its memory.
#pragma once

#include "lib/base/arena.h"
#include "lib/http/h1/body_reader.h"
#include "lib/http/h1/writer.h"
#include "lib/http/message.h"

namespace meltemi::http::h1 {

struct RequestState {
  // Ready for the next request; every view of this one ends.
  void Recycle() {
    request.headers.Clear();
    request.method = request.scheme = request.authority = request.path = request.upgrade = {};
    request.content_length = kLengthUnknown;
    request.expects_continue = false;
    arena.Reset();
  }

  Arena arena;
  RequestHead request{arena};
  BodyReader reader{arena};
  BodyWriter writer;
};

}  // namespace meltemi::http::h1
