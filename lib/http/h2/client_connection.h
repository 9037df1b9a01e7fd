// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "lib/http/connection.h"

namespace meltemi::http::h2 {

// The client's end of an HTTP/2 connection (RFC 9113), with prior knowledge or after ALPN.
// Worker-local.
std::unique_ptr<ClientConnection> NewClientConnection(std::unique_ptr<net::Connection> connection,
                                                      ClientConnectionCallbacks& callbacks,
                                                      const Limits& limits);

}  // namespace meltemi::http::h2
